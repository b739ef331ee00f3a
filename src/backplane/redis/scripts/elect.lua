-- One of the nodes that saw the timer of a call expire takes the call. ARGV: 3 call, 4 node. Answers 1 for the one.
if not redis.call('SET', prefix .. 'elect:call:' .. ARGV[3], ARGV[4], 'NX', 'PX', 1000) then return 0 end
local deadline = tonumber(redis.call('ZSCORE', prefix .. 'deadlines', ARGV[3]) or 'inf')
if deadline > now then return 0 end
redis.call('ZADD', prefix .. 'deadlines', 'XX', whole(now + 1000), ARGV[3])
return 1
