-- What is kept for a user. Messages that need their call live are in a stream: the field `m`, or `u` if no node listened, with
-- `class size call token revision body`. The classes, the most expendable first, are signals `s`, notices `n`, and ends `e`. Ends are
-- in a list, `m id message` or `u id message`, and have their ids of the stream: so it can be emptied at once when the user has no
-- live call any more.
local function inbox(user)
  return PREFIX .. 'inbox:user:' .. user
end
local function ends(user)
  return PREFIX .. 'ends:user:' .. user
end

