local function record_of(call)
  return redis.call('GET', PREFIX .. 'live:call:' .. call) or redis.call('GET', PREFIX .. 'call:' .. call)
end
