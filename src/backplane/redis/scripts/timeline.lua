-- The timeline of a call. ARGV: 1 call.
return redis.call('LRANGE', PREFIX .. 'timeline:call:' .. ARGV[1], 0, -1)
