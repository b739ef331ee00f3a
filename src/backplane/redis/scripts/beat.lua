-- A node gives a sign of life, and hears of the others. ARGV: 1 node, 2 '1' if it has done so before.
-- Answers the time, until when nobody counts as dead, the nodes with their last signs of life, and '1' if Redis has lost what
-- it knew.
-- Where nobody had given any for a while, Redis or all of them were away, and nobody is to blame. Where there is no trace of
-- any, either Redis has lost it, or this is the very first.
local is_lost = ARGV[2] == '1' and not redis.call('ZSCORE', PREFIX .. 'nodes', ARGV[1])
local last = tonumber(redis.call('GET', PREFIX .. 'nodes:beat') or '0')
if now - last > 4000 and (last > 0 or ARGV[2] == '1') then
  redis.call('SET', PREFIX .. 'nodes:grace', whole(now + 10000), 'PX', 60000)
end
redis.call('SET', PREFIX .. 'nodes:beat', whole(now), 'PX', 86400000)
redis.call('ZADD', PREFIX .. 'nodes', whole(now), ARGV[1])
redis.call('EXPIRE', PREFIX .. 'sessions:node:' .. ARGV[1], 172800)
local grace = redis.call('GET', PREFIX .. 'nodes:grace') or '0'
return { whole(now), grace, redis.call('ZRANGE', PREFIX .. 'nodes', 0, -1, 'WITHSCORES'), is_lost and '1' or '0' }
