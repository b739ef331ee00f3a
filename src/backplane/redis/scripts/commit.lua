-- Changes a call: record, deadline, lists of live calls and messages at once, or nothing.
-- ARGV: 3 call, 4 expected revision or '', 5 token, 6 revision, 7 record, 8 '1' if live, 9 deadline in ms or '', 10 ms the
-- documented record is kept, 11 caller, 12 callee, 13 and 14 versions of their lists, 15 key of the request or '', 16 ms it is
-- kept, 17 to 19 limits of an inbox, 20 when it is too late, then for each message: user, class, size, body.
-- Answers 1 done, 0 lost, -1 too late, or the call that was made under the same request.
local call, expected, token, revision, record = ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local is_live, deadline, caller, callee, request = ARGV[8] == '1', ARGV[9], ARGV[11], ARGV[12], ARGV[15]
local limits = { ARGV[17], ARGV[18], ARGV[19] }
-- As long as the longest call, and a day.
local LISTS_TTL = 691200000

if is_too_late(ARGV[20]) then return -1 end
local current = record_of(call)
if current then
  local at, by = string.match(current, '^{"rev":(%d+),"by":"([^"]*)"')
  -- The answer to this very change was lost.
  if at == revision and by == token then return 1 end
  if at ~= expected then return 0 end
elseif expected ~= '' then
  return 0
end
if expected == '' then
  local first = request ~= '' and redis.call('GET', prefix .. request)
  if first then return first end
  local function version(user)
    return redis.call('HGET', prefix .. 'calls:user:' .. user, 'v') or '0'
  end
  if version(caller) ~= ARGV[13] or version(callee) ~= ARGV[14] then return 0 end
  if request ~= '' then redis.call('SET', prefix .. request, call, 'PX', ARGV[16]) end
end

redis.call('SET', prefix .. 'call:' .. call, record, 'PX', ARGV[10])
local timer = prefix .. 'timeout:call:' .. call
if is_live then
  local left = math.min(tonumber(deadline) - now, LISTS_TTL)
  redis.call('SET', prefix .. 'live:call:' .. call, record, 'PX', whole(math.max(left, 0) + 86400000))
  redis.call('ZADD', prefix .. 'deadlines', deadline, call)
  if left > 0 then redis.call('SET', timer, deadline, 'PX', whole(left)) else redis.call('DEL', timer) end
else
  redis.call('DEL', prefix .. 'live:call:' .. call, timer)
  redis.call('ZREM', prefix .. 'deadlines', call)
end
for _, user in ipairs({ caller, callee }) do
  local key = prefix .. 'calls:user:' .. user
  if is_live then
    if redis.call('HSETNX', key, call, '1') == 1 then redis.call('HINCRBY', key, 'v', 1) end
    redis.call('PEXPIRE', key, LISTS_TTL)
  elseif redis.call('HDEL', key, call) == 1 then
    redis.call('HINCRBY', key, 'v', 1)
    close_call(user, call, limits[3])
  end
end
for at = 21, #ARGV, 4 do
  local message = { user = ARGV[at], class = ARGV[at + 1], size = ARGV[at + 2], body = ARGV[at + 3] }
  message.call, message.token, message.revision = call, token, revision
  append(message, limits)
end
return 1
