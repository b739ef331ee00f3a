-- Disconnects a session from its device.
-- ARGV: 1 user, 2 session, 3 'leave', 'forget' or 'bury', 4 and 5 position, 6 's' of the documented keys, 7 the node it was at.
-- Answers the device, or nothing where another session has it.
local user, session, how = ARGV[1], ARGV[2], ARGV[3]
local key = PREFIX .. 'devices:user:' .. user
local device = redis.call('HGET', key, 's:' .. session)
local text = device and redis.call('HGET', key, 'at:' .. device)
if not text then
  -- It has never registered, or nothing is known of it any more.
  redis.call('SREM', PREFIX .. 'sessions:node:' .. ARGV[7], session .. ' ' .. user)
  return false
end
local holder, node, received, described, is_named =
  string.match(text, '^([^|]*)|([^|]*)|([^|]*)|([^|]*)|%d+|(%d)|%d+$')
if holder ~= session then return false end

redis.call('HDEL', key, 's:' .. session)
redis.call('DEL', PREFIX .. 'user:socket:' .. session)
redis.call('SREM', PREFIX .. 'sessions:node:' .. node, session .. ' ' .. user)
if how == 'forget' then
  for _, field in ipairs(redis.call('HKEYS', key)) do
    if string.match(field, '^[^:]+:(.*)$') == device and string.sub(field, 1, 2) ~= 's:' then redis.call('HDEL', key, field) end
  end
else
  local lost_at = '0'
  if how == 'bury' then
    lost_at = redis.call('ZSCORE', PREFIX .. 'nodes', node) or whole(now)
  else
    received, described = ARGV[4], ARGV[5]
  end
  local record = table.concat({ '', '', received, described, whole(now), is_named, lost_at }, '|')
  redis.call('HSET', key, 'at:' .. device, record)
end

-- The documented keys name the newest device that is still connected.
local newest, described_by = PREFIX .. 'socket:user:' .. user, PREFIX .. 'session:user:' .. user
local named = redis.call('GET', newest)
if named == session or not named then
  local fields = redis.call('HGETALL', key)
  local other, other_seen, values = nil, -1, {}
  for field = 1, #fields, 2 do
    values[fields[field]] = fields[field + 1]
    local name = string.match(fields[field], '^at:(.*)$')
    if name then
      local held_by, at, seen = string.match(fields[field + 1], '^([^|]*)|([^|]*)|[^|]*|[^|]*|(%d+)|')
      if held_by ~= '' and tonumber(seen) > other_seen and is_alive(at) then
        other, other_seen = name, tonumber(seen)
        values.session = held_by
      end
    end
  end
  if other then
    redis.call('SET', newest, values.session, 'EX', ARGV[6])
    redis.call('SET', described_by, values['json:' .. other], 'EX', ARGV[6])
  else
    redis.call('DEL', newest)
    if how == 'forget' then redis.call('DEL', described_by) end
  end
end
return device
