-- Puts back a call that Redis has lost, or has an older version of.
-- ARGV: 1 call, 2 revision, 3 record, 4 '1' if live, 5 deadline or '', 6 ms the documented record is kept, 7 caller, 8 callee.
local call, record, is_live = ARGV[1], ARGV[3], ARGV[4] == '1'
local current = record_of(call)
local at = current and tonumber(string.match(current, '^{"rev":(%d+),')) or 0
if at >= tonumber(ARGV[2]) or (at == 0 and not is_live) then return 0 end
redis.call('SET', PREFIX .. 'call:' .. call, record, 'PX', ARGV[6])
if is_live then
  local left = math.min(math.max(tonumber(ARGV[5]) - now, 0), 691200000)
  redis.call('SET', PREFIX .. 'live:call:' .. call, record, 'PX', whole(left + 86400000))
  redis.call('ZADD', PREFIX .. 'deadlines', ARGV[5], call)
  if left > 0 then redis.call('SET', PREFIX .. 'timeout:call:' .. call, ARGV[5], 'PX', whole(left)) end
else
  redis.call('DEL', PREFIX .. 'live:call:' .. call, PREFIX .. 'timeout:call:' .. call)
  redis.call('ZREM', PREFIX .. 'deadlines', call)
end
for _, user in ipairs({ ARGV[7], ARGV[8] }) do
  local key = PREFIX .. 'calls:user:' .. user
  local version, calls = string.match(redis.call('GET', key) or '0', '^(%d+)(.*)$')
  local from, to = string.find(calls, ' ' .. call, 1, true)
  if is_live and not from then
    calls = calls .. ' ' .. call
  elseif from and not is_live then
    calls = string.sub(calls, 1, from - 1) .. string.sub(calls, to + 1)
  end
  redis.call('SET', key, whole(version + 1) .. calls, 'PX', 691200000)
end
return 1
