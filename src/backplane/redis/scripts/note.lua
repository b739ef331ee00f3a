-- Appends what was noted to the timelines of calls that have one. ARGV: calls, each with an entry. Answers how many are not kept.
local lost = 0
for at = 1, #ARGV, 2 do
  local key = PREFIX .. 'timeline:call:' .. ARGV[at]
  local length = redis.call('RPUSHX', key, ARGV[at + 1])
  if length > TIMELINE_ENTRIES then redis.call('RPOP', key) end
  if length == 0 or length > TIMELINE_ENTRIES then lost = lost + 1 end
end
return lost
