-- Nothing is to be told of a call for a while. ARGV: 1 call, 2 until when.
return redis.call('ZADD', PREFIX .. 'webhooks:due', 'XX', ARGV[2], ARGV[1])
