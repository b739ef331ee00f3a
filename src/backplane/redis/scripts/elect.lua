-- One of the nodes that saw the timer of a call expire takes the call. ARGV: 1 call, 2 node. Answers 1 for the one.
if not redis.call('SET', PREFIX .. 'elect:call:' .. ARGV[1], ARGV[2], 'NX', 'PX', 1000) then return 0 end
local deadline = tonumber(redis.call('ZSCORE', PREFIX .. 'deadlines', ARGV[1]) or 'inf')
if deadline > now then return 0 end
redis.call('ZADD', PREFIX .. 'deadlines', 'XX', whole(now + 1000), ARGV[1])
return 1
