-- A node gives a sign of life, and hears of the others. ARGV: 1 node, 2 its last sign of life, or '' if this is its first.
-- Answers the time; until when nobody counts as dead; the nodes with their last signs of life; the last silence: since when, until
-- when, and 1 if Redis was empty at its end; and 1 if this node is not known although it should be.
-- Where nobody had given any sign for a while, Redis or all nodes were away, and nobody is to blame. Where there is no trace of
-- any, either Redis has lost it, or this is the very first.
local before = tonumber(ARGV[2])
local is_missing = before and not redis.call('ZSCORE', PREFIX .. 'nodes', ARGV[1])
local last = tonumber(redis.call('GET', PREFIX .. 'nodes:beat') or '0')
local silence = PREFIX .. 'nodes:silence'
if now - last > 4000 and (last > 0 or before) then
  redis.call('SET', PREFIX .. 'nodes:grace', whole(now + 10000), 'PX', 60000)
  redis.call('SET', silence, whole(last) .. ' ' .. whole(now) .. (last == 0 and ' 1' or ' 0'), 'PX', 86400000)
end
local from, to, was_empty = string.match(redis.call('GET', silence) or '0 0 0', '^(%d+) (%d+) (%d)$')
-- Redis may have forgotten the last signs of life before it; their givers have not.
if before and before > tonumber(from) and before < tonumber(to) then
  from = whole(before)
  redis.call('SET', silence, from .. ' ' .. to .. ' ' .. was_empty, 'KEEPTTL')
end
redis.call('SET', PREFIX .. 'nodes:beat', whole(now), 'PX', 86400000)
redis.call('ZADD', PREFIX .. 'nodes', whole(now), ARGV[1])
redis.call('EXPIRE', PREFIX .. 'sessions:node:' .. ARGV[1], 172800)
local grace = redis.call('GET', PREFIX .. 'nodes:grace') or '0'
local nodes = redis.call('ZRANGE', PREFIX .. 'nodes', 0, -1, 'WITHSCORES')
return { whole(now), grace, nodes, { from, to, was_empty }, is_missing and 1 or 0 }
