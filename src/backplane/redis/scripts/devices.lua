-- What is known of the devices of a user. ARGV: 1 user.
return redis.call('HGETALL', PREFIX .. 'devices:user:' .. ARGV[1])
