local function record_of(call)
  local records = redis.call('MGET', PREFIX .. 'live:call:' .. call, PREFIX .. 'call:' .. call)
  return records[1] or records[2]
end
