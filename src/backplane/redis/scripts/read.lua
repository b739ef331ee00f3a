-- What is kept for a user. ARGV: 1 user, 2 and 3 the time and the number of the event after which.
-- Answers the last event id, the messages with their ids, a `!` in front of those that reached nobody, and the records of the
-- user's live calls and of those the messages are about.
local user, after_time, after_number = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local key = inbox(user)
local last, messages, about = '0-0', {}, {}

local ended, next_end = redis.call('LRANGE', ends(user), 0, -1), 1
local function parts_of(id)
  local time, number = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(time), tonumber(number)
end
local function note(mark, id, value)
  local sent_at, number = parts_of(id)
  local class, call = string.match(value, '^(%a) %d+ (%S+) ')
  local is_later = sent_at > after_time or sent_at == after_time and number > after_number
  if class and sent_at + INBOX_TTL > now and (is_later or class == 'n') then
    messages[#messages + 1] = (mark == 'u' and '!' or '') .. id .. ' ' .. value
    if class ~= 'e' then about[call] = true end
  end
end
-- Notes the ends that come before a place.
local function note_ends(time, number)
  while ended[next_end] do
    local mark, id, value = string.match(ended[next_end], '^(%a) (%S+) (.*)$')
    local end_time, end_number = parts_of(id)
    if end_time > time or end_time == time and end_number > number then return end
    note(mark, id, value)
    next_end = next_end + 1
  end
end

if redis.call('EXISTS', key) == 1 then
  local info = redis.call('XINFO', 'STREAM', key)
  for at = 1, #info, 2 do
    if info[at] == 'last-generated-id' then last = info[at + 1] end
  end
  for _, entry in ipairs(redis.call('XRANGE', key, '-', '+')) do
    note_ends(parts_of(entry[1]))
    note(entry[2][1], entry[1], entry[2][2])
  end
end
note_ends(math.huge, 0)
local records = live_calls(user)
table.remove(records, 1)
for _, record in ipairs(records) do
  about[string.match(record, '"callId":"([^"]+)"') or ''] = nil
end
for call in pairs(about) do
  records[#records + 1] = record_of(call)
end
return { last, messages, records }
