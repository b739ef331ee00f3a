-- Calls whose deadline has passed, leased for a second: whoever takes them and dies leaves them to the next.
-- ARGV: 1 most calls. Answers the time, and the calls.
local named = redis.call('ZRANGEBYSCORE', PREFIX .. 'deadlines', '-inf', whole(now), 'LIMIT', 0, ARGV[1])
local due = {}
for _, call in ipairs(named) do
  if redis.call('EXISTS', PREFIX .. 'live:call:' .. call) == 1 then
    redis.call('ZADD', PREFIX .. 'deadlines', 'XX', whole(now + 1000), call)
    due[#due + 1] = call
  else
    -- The call is gone: nobody is to look at it again.
    redis.call('ZREM', PREFIX .. 'deadlines', call)
  end
end
return { whole(now), due }
