-- What a new call is decided upon. ARGV: 1 caller, 2 callee, 3 key of the request or ''.
local repeated = ARGV[3] ~= '' and redis.call('GET', PREFIX .. ARGV[3])
return { repeated, live_calls(ARGV[1]), live_calls(ARGV[2]), redis.call('HGETALL', PREFIX .. 'devices:user:' .. ARGV[2]) }
