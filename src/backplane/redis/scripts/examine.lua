-- Tries every command that the other scripts use, on keys of its own, which are gone at the end. ARGV: 1 what their names begin with,
-- 2 a channel that nobody listens to. Answers with what was refused: the command, and why.
local refused = {}
local function try(command, ...)
  local answer = redis.pcall(command, ...)
  if type(answer) == 'table' and answer.err then
    table.insert(refused, command)
    table.insert(refused, answer.err)
  end
end
local text, hash, list, set = ARGV[1] .. 'text', ARGV[1] .. 'hash', ARGV[1] .. 'list', ARGV[1] .. 'set'
local sorted, stream, number = ARGV[1] .. 'sorted', ARGV[1] .. 'stream', ARGV[1] .. 'number'
try('TIME')
try('SET', text, 'a', 'PX', 10000)
try('GET', text)
try('MGET', text)
try('GETRANGE', text, 0, 0)
try('EXISTS', text)
try('EXPIRE', text, 10)
try('PEXPIRE', text, 10000)
try('PTTL', text)
try('INCR', number)
try('HSET', hash, 'a', 'b')
try('HGET', hash, 'a')
try('HGETALL', hash)
try('HKEYS', hash)
try('HLEN', hash)
try('HDEL', hash, 'b')
try('XADD', stream, '1-1', 'a', 'b')
try('XLEN', stream)
try('XRANGE', stream, '-', '+')
try('XREVRANGE', stream, '+', '-')
try('XINFO', 'STREAM', stream)
try('XTRIM', stream, 'MAXLEN', 1)
try('XDEL', stream, '1-1')
try('RPUSH', list, 'a')
try('LLEN', list)
try('LRANGE', list, 0, 0)
try('LTRIM', list, 0, 0)
try('LINDEX', list, 0)
try('RPUSHX', list, 'a')
try('RPOP', list)
try('LPOP', list)
try('SADD', set, 'a')
try('SRANDMEMBER', set)
try('SREM', set, 'a')
try('ZADD', sorted, 1, 'a')
try('ZSCORE', sorted, 'a')
try('ZCARD', sorted)
try('ZRANGE', sorted, 0, 0)
try('ZRANGEBYSCORE', sorted, 1, 1)
try('ZREM', sorted, 'a')
try('PUBLISH', ARGV[2], '')
local all = { text, hash, list, set, sorted, stream, number }
-- Should this user not be allowed to take them away.
for _, key in ipairs(all) do
  redis.pcall('EXPIRE', key, 10)
end
try('DEL', unpack(all))
return refused
