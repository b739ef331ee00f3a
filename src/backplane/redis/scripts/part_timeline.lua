-- Writes what a change says of a call into its timeline. A list of texts takes hardly more than its bytes. That of all calls says
-- which are the oldest: they are let go when there are too many, and by and by when they have run out.
local function timeline(call, from, to, begins, ends)
  local key, all = PREFIX .. 'timeline:call:' .. call, PREFIX .. 'timelines'
  if not begins then
    if redis.call('RPUSHX', key, unpack(ARGV, from, to)) > 0 and ends then redis.call('PEXPIRE', key, TIMELINE_TTL) end
    return
  end
  redis.call('RPUSH', key, unpack(ARGV, from, to))
  redis.call('PEXPIRE', key, TIMELINE_TTL)
  local count = redis.call('RPUSH', all, call)
  -- More than one, so that a bound that was lowered is reached.
  for _ = 1, math.min(count - TIMELINE_CALLS, 3) do
    redis.call('DEL', PREFIX .. 'timeline:call:' .. redis.call('LPOP', all))
  end
  if count % 32 > 0 then return end
  redis.call('PEXPIRE', all, whole(TIMELINE_TTL + 86400000))
  for _ = 1, 64 do
    local oldest = redis.call('LINDEX', all, 0)
    if not oldest or redis.call('EXISTS', PREFIX .. 'timeline:call:' .. oldest) == 1 then return end
    redis.call('LPOP', all)
  end
end
