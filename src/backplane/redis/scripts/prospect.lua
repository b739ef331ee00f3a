-- What a new call is decided upon. ARGV: 3 caller, 4 callee, 5 key of the request or ''.
local repeated = ARGV[5] ~= '' and redis.call('GET', prefix .. ARGV[5])
return { repeated, live_calls(ARGV[3]), live_calls(ARGV[4]), redis.call('HGETALL', prefix .. 'devices:user:' .. ARGV[4]) }
