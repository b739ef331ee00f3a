-- A push token reaches nobody any more. ARGV: 1 user, 2 field of the device, 3 the token.
local key = PREFIX .. 'devices:user:' .. ARGV[1]
if redis.call('HGET', key, ARGV[2]) ~= ARGV[3] then return 0 end
redis.call('HDEL', key, ARGV[2])
return 1
