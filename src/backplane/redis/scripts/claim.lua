-- Calls whose deadline has passed, leased for a second: whoever takes them and dies leaves them to the next.
-- ARGV: 1 most calls. Answers the time, and the calls.
local due = redis.call('ZRANGEBYSCORE', PREFIX .. 'deadlines', '-inf', whole(now), 'LIMIT', 0, ARGV[1])
for _, call in ipairs(due) do
  redis.call('ZADD', PREFIX .. 'deadlines', 'XX', whole(now + 1000), call)
end
return { whole(now), due }
