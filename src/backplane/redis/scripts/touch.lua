-- Keeps the documented records of calls that go on. ARGV: 3 ms they are kept, then calls. Answers how many go on.
local count = 0
for at = 4, #ARGV do
  local record = redis.call('GET', prefix .. 'live:call:' .. ARGV[at])
  if record and string.find(record, '"state":"accepted"', 1, true) then
    redis.call('SET', prefix .. 'call:' .. ARGV[at], record, 'PX', ARGV[3])
    count = count + 1
  end
end
return count
