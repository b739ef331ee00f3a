-- Sessions of a node that has died, for one heir at a time. ARGV: 1 the dead node, 2 its heir, 3 most sessions.
-- Answers session, user, device and '1' if the user has live calls, in turn; nothing where there is another heir, or nothing left to do.
local dead, heir = ARGV[1], ARGV[2]
local claim, sessions = PREFIX .. 'claim:node:' .. dead, PREFIX .. 'sessions:node:' .. dead
local claimed = redis.call('GET', claim)
if claimed and claimed ~= heir then return {} end
redis.call('SET', claim, heir, 'PX', 5000)
local found = {}
for _, member in ipairs(redis.call('SRANDMEMBER', sessions, ARGV[3])) do
  local session, user = string.match(member, '^(%S+) (.*)$')
  -- What another program has spoilt must not hold up the others.
  local device = redis.pcall('HGET', PREFIX .. 'devices:user:' .. user, 's:' .. session)
  local calls = redis.pcall('GET', PREFIX .. 'calls:user:' .. user)
  local has_calls = type(calls) == 'string' and string.find(calls, ' ', 1, true) ~= nil
  if type(device) ~= 'string' then
    -- It may have acted without ever registering: then its calls know it by its own name.
    device = has_calls and session
    if not device then
      redis.call('SREM', sessions, member)
      redis.call('DEL', PREFIX .. 'user:socket:' .. session)
    end
  end
  if device then
    found[#found + 1], found[#found + 2], found[#found + 3] = session, user, device
    found[#found + 1] = has_calls and '1' or '0'
  end
end
if redis.call('EXISTS', sessions) == 0 then
  redis.call('ZREM', PREFIX .. 'nodes', dead)
  redis.call('DEL', claim)
end
return found
