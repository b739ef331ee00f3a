-- Keeps the documented records of calls that go on. ARGV: 1 ms they are kept, then calls. Answers how many go on.
local count = 0
for at = 2, #ARGV do
  local record = redis.pcall('GET', PREFIX .. 'live:call:' .. ARGV[at])
  if type(record) == 'string' and string.find(record, '"state":"accepted"', 1, true) then
    redis.call('SET', PREFIX .. 'call:' .. ARGV[at], record, 'PX', ARGV[1])
    count = count + 1
  end
end
return count
