-- The inbox of a user is a stream. A message is the field `m`, `class size call token revision body`; the classes, the most
-- expendable first, are signals `s`, notices that need their call live `n`, and ends `e`. A field `n` is the id of a message that
-- no node listened to.
local function inbox(user)
  return PREFIX .. 'inbox:user:' .. user
end

