-- What is known of the devices of a user. ARGV: 3 user.
return redis.call('HGETALL', prefix .. 'devices:user:' .. ARGV[3])
