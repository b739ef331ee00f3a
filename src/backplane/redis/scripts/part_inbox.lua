-- The inbox of a user is a stream. A message is the field `m`, or `u` if no node listened: `class size call token revision body`.
-- The classes, the most expendable first, are signals `s`, notices that need their call live `n`, and ends `e`.
local function inbox(user)
  return PREFIX .. 'inbox:user:' .. user
end

