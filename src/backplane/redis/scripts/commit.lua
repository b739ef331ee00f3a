-- Changes a call: record, deadline, lists of live calls and messages at once, or nothing.
-- ARGV: 1 when it is too late, 2 call, 3 expected revision or '', 4 token, 5 revision, 6 record, 7 '1' if live, 8 deadline in ms
-- or '', 9 ms the documented record is kept, 10 caller, 11 callee, 12 and 13 versions of their lists, 14 key of the request or
-- '', then for each message: user, class, size, the entry after its time.
-- Answers 1 done, 0 lost, -1 too late, or the call that was made under the same request.
if now > tonumber(ARGV[1]) then return -1 end
local call, expected, token, revision, record = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local is_live, deadline, caller, callee, request = ARGV[7] == '1', ARGV[8], ARGV[10], ARGV[11], ARGV[14]
-- As long as the longest call, and a day.
local LISTS_TTL = 691200000

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
  local first = request ~= '' and redis.call('GET', PREFIX .. request)
  if first then return first end
  local function version(user)
    return redis.call('HGET', PREFIX .. 'calls:user:' .. user, 'v') or '0'
  end
  if version(caller) ~= ARGV[12] or version(callee) ~= ARGV[13] then return 0 end
  if request ~= '' then redis.call('SET', PREFIX .. request, call, 'PX', INBOX_TTL) end
end

redis.call('SET', PREFIX .. 'call:' .. call, record, 'PX', ARGV[9])
local timer = PREFIX .. 'timeout:call:' .. call
if is_live then
  local left = math.min(tonumber(deadline) - now, LISTS_TTL)
  redis.call('SET', PREFIX .. 'live:call:' .. call, record, 'PX', whole(math.max(left, 0) + 86400000))
  redis.call('ZADD', PREFIX .. 'deadlines', deadline, call)
  if left > 0 then redis.call('SET', timer, deadline, 'PX', whole(left)) else redis.call('DEL', timer) end
else
  redis.call('DEL', PREFIX .. 'live:call:' .. call, timer)
  redis.call('ZREM', PREFIX .. 'deadlines', call)
end
for _, user in ipairs({ caller, callee }) do
  local key = PREFIX .. 'calls:user:' .. user
  if is_live then
    -- Only a new call is new to the lists.
    if expected == '' and redis.call('HSETNX', key, call, '1') == 1 then
      redis.call('HINCRBY', key, 'v', 1)
      redis.call('PEXPIRE', key, LISTS_TTL)
    end
  elseif redis.call('HDEL', key, call) == 1 then
    redis.call('HINCRBY', key, 'v', 1)
    close_call(user, call)
  end
end
for at = 15, #ARGV, 4 do
  append(ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2]), ARGV[at + 3])
end
return 1
