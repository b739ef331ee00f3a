-- The live calls of a user: the version of the list, then the records. The list is a text, `version call call …`.
local function live_calls(user)
  local key = PREFIX .. 'calls:user:' .. user
  local text = redis.call('GET', key)
  if not text then return { '0' } end
  local version, rest = string.match(text, '^(%d+)(.*)$')
  local calls, names = {}, {}
  for call in string.gmatch(rest, '%S+') do
    calls[#calls + 1], names[#names + 1] = call, PREFIX .. 'live:call:' .. call
  end
  local found = { version }
  if #calls == 0 then return found end
  local left = version
  for at, record in ipairs(redis.call('MGET', unpack(names))) do
    if record then
      found[#found + 1] = record
      left = left .. ' ' .. calls[at]
    end
  end
  -- What has run out is taken out.
  if #found <= #calls then redis.call('SET', key, left, 'KEEPTTL') end
  return found
end
