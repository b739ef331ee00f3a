-- Writes what a change says of a call into its timeline. A list of texts takes hardly more than its bytes. That of all calls says
-- which are the oldest; they are let go when there are too many, or have run out.
local function timeline(call, from, to, begins)
  local key, all = PREFIX .. 'timeline:call:' .. call, PREFIX .. 'timelines'
  if redis.call(begins and 'RPUSH' or 'RPUSHX', key, unpack(ARGV, from, to)) == 0 then return end
  redis.call('PEXPIRE', key, TIMELINE_TTL)
  if not begins then return end
  local count = redis.call('RPUSH', all, call)
  redis.call('PEXPIRE', all, TIMELINE_TTL)
  -- More than one, so that a bound that was lowered is reached.
  for _ = 1, 3 do
    local oldest = PREFIX .. 'timeline:call:' .. (redis.call('LINDEX', all, 0) or '')
    if count <= TIMELINE_CALLS and redis.call('EXISTS', oldest) == 1 then return end
    redis.call('LPOP', all)
    redis.call('DEL', oldest)
    count = count - 1
  end
end
