-- Everything up to a turn of a call was told. ARGV: 1 call, 2 turn. Answers 1 if there is more, which is due at once.
local due, key = PREFIX .. 'webhooks:due', PREFIX .. 'webhooks:call:' .. ARGV[1]
local through = tonumber(ARGV[2])
local first = redis.call('LINDEX', key, 0)
while first and tonumber(string.match(first, '^%d+')) <= through do
  redis.call('LPOP', key)
  first = redis.call('LINDEX', key, 0)
end
if first then
  redis.call('ZADD', due, 'XX', whole(now), ARGV[1])
  return 1
end
let_go(ARGV[1])
return 0
