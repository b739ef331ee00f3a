-- Writes what a change says of a call into its timeline, and keeps it for as long as is wanted beyond the time that the call may
-- last. A list of texts takes hardly more than its bytes. That of all calls says which are the oldest: they are let go when there
-- are too many, and by and by when they have run out.
local function timeline(call, from, to, begins, left)
  local key, all = PREFIX .. 'timeline:call:' .. call, PREFIX .. 'timelines'
  if to >= from then redis.call(begins and 'RPUSH' or 'RPUSHX', key, unpack(ARGV, from, to)) end
  redis.call('PEXPIRE', key, whole(left + TIMELINE_TTL))
  if not begins or to < from then return end
  local count = redis.call('RPUSH', all, call)
  redis.call('PEXPIRE', all, whole(TIMELINE_TTL + 86400000))
  -- More than one, so that a bound that was lowered is reached.
  for _ = 1, math.min(count - TIMELINE_CALLS, 3) do
    redis.call('DEL', PREFIX .. 'timeline:call:' .. redis.call('LPOP', all))
  end
  for _ = 1, 64 do
    local oldest = redis.call('LINDEX', all, 0)
    if not oldest or redis.call('EXISTS', PREFIX .. 'timeline:call:' .. oldest) == 1 then return end
    redis.call('LPOP', all)
  end
end
