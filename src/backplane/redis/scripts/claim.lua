-- Calls whose deadline has passed, leased for a second: whoever takes them and dies leaves them to the next.
-- ARGV: 3 most calls.
local due = redis.call('ZRANGEBYSCORE', prefix .. 'deadlines', '-inf', whole(now), 'LIMIT', 0, ARGV[3])
for _, call in ipairs(due) do
  redis.call('ZADD', prefix .. 'deadlines', 'XX', whole(now + 1000), call)
end
return due
