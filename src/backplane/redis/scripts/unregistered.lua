-- A session acts that has not registered; its node answers for it. ARGV: 1 user, 2 session, 3 node.
local sessions = PREFIX .. 'sessions:node:' .. ARGV[3]
redis.call('SADD', sessions, ARGV[2] .. ' ' .. ARGV[1])
redis.call('EXPIRE', sessions, 172800)
return 1
