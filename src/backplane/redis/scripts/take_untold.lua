-- Calls of which something is to be told, leased: whoever takes them and dies leaves them to the next.
-- ARGV: 1 most calls, 2 ms they are leased. Answers each call with what is to be told of it.
local due = PREFIX .. 'webhooks:due'
local untold = {}
for _, call in ipairs(redis.call('ZRANGEBYSCORE', due, '-inf', whole(now), 'LIMIT', 0, ARGV[1])) do
  local milestones = redis.call('LRANGE', PREFIX .. 'webhooks:call:' .. call, 0, -1)
  if #milestones > 0 then
    redis.call('ZADD', due, 'XX', whole(now + tonumber(ARGV[2])), call)
    untold[#untold + 1] = { call, milestones }
  else
    -- It was kept for as long as it is to be.
    let_go(call)
  end
end
return untold
