-- Appends what was noted to the timelines of calls that have one. ARGV: 1 '1' if this may have been done before, then calls, each with an
-- entry. Answers how many are not kept.
local is_repeat, lost = ARGV[1] == '1', 0
local function has(key, entry)
  for _, kept in ipairs(redis.call('LRANGE', key, 0, -1)) do
    if kept == entry then return true end
  end
  return false
end
for at = 2, #ARGV, 2 do
  local key, entry = PREFIX .. 'timeline:call:' .. ARGV[at], ARGV[at + 1]
  if not (is_repeat and has(key, entry)) then
    local length = redis.call('RPUSHX', key, entry)
    if length > TIMELINE_ENTRIES then redis.call('RPOP', key) end
    if length == 0 or length > TIMELINE_ENTRIES then lost = lost + 1 end
  end
end
return lost
