-- Puts back a call that Redis has lost, or has an older version of.
-- ARGV: 3 call, 4 revision, 5 record, 6 '1' if live, 7 deadline or '', 8 ms the documented record is kept, 9 caller, 10 callee.
local call, record, is_live = ARGV[3], ARGV[5], ARGV[6] == '1'
local current = record_of(call)
local at = current and tonumber(string.match(current, '^{"rev":(%d+),')) or 0
if at >= tonumber(ARGV[4]) or (at == 0 and not is_live) then return 0 end
redis.call('SET', prefix .. 'call:' .. call, record, 'PX', ARGV[8])
if is_live then
  local left = math.min(math.max(tonumber(ARGV[7]) - now, 0), 691200000)
  redis.call('SET', prefix .. 'live:call:' .. call, record, 'PX', whole(left + 86400000))
  redis.call('ZADD', prefix .. 'deadlines', ARGV[7], call)
  if left > 0 then redis.call('SET', prefix .. 'timeout:call:' .. call, ARGV[7], 'PX', whole(left)) end
else
  redis.call('DEL', prefix .. 'live:call:' .. call, prefix .. 'timeout:call:' .. call)
  redis.call('ZREM', prefix .. 'deadlines', call)
end
for _, user in ipairs({ ARGV[9], ARGV[10] }) do
  local key = prefix .. 'calls:user:' .. user
  local changed = is_live and redis.call('HSETNX', key, call, '1') or redis.call('HDEL', key, call)
  if changed == 1 then redis.call('HINCRBY', key, 'v', 1) end
  redis.call('PEXPIRE', key, 691200000)
end
return 1
