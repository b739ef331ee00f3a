-- Keeps what a call has come to until it is told: a list of `turn milestone`, and when the call is due. A call that somebody has
-- taken is not due any sooner: they go on when they have told what they have. Beside it, since when there is something to be told.
local function feed(call, from, to)
  local due, key = PREFIX .. 'webhooks:due', PREFIX .. 'webhooks:call:' .. call
  if not redis.call('ZSCORE', due, call) then
    if redis.call('ZCARD', due) >= FEED_CALLS then
      redis.call('INCR', PREFIX .. 'webhooks:dropped')
      return
    end
    redis.call('ZADD', due, whole(now), call)
    redis.call('ZADD', PREFIX .. 'webhooks:since', whole(now), call)
  end
  redis.call('RPUSH', key, unpack(ARGV, from, to))
  redis.call('PEXPIRE', key, FEED_TTL)
end
