-- Keeps what a call has come to until it is told: a list of `turn milestone`, and when the call is due. A call that somebody has
-- taken is not due any sooner: they go on when they have told what they have. Beside it, since when there is something to be told,
-- and how much was not kept. All of it goes in time if nobody takes it.
local function feed(call, from, to)
  local due, since, dropped = PREFIX .. 'webhooks:due', PREFIX .. 'webhooks:since', PREFIX .. 'webhooks:dropped'
  local key = PREFIX .. 'webhooks:call:' .. call
  if not redis.call('ZSCORE', due, call) then
    if redis.call('ZCARD', due) >= FEED_CALLS then
      for _ = from, to do redis.call('INCR', dropped) end
      redis.call('PEXPIRE', dropped, FEED_TTL)
      return
    end
    redis.call('ZADD', due, whole(now), call)
    redis.call('ZADD', since, whole(now), call)
  end
  redis.call('RPUSH', key, unpack(ARGV, from, to))
  for _, kept in ipairs({ key, due, since }) do redis.call('PEXPIRE', kept, FEED_TTL) end
end
