-- The live calls of a user: the version of the list, then the records. What has run out is taken out.
local function live_calls(user)
  local key = PREFIX .. 'calls:user:' .. user
  local fields = redis.call('HGETALL', key)
  local found = { '0' }
  for at = 1, #fields, 2 do
    if fields[at] == 'v' then
      found[1] = fields[at + 1]
    else
      local record = redis.call('GET', PREFIX .. 'live:call:' .. fields[at])
      if record then found[#found + 1] = record else redis.call('HDEL', key, fields[at]) end
    end
  end
  return found
end
