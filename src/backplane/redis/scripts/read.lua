-- What is kept for a user. ARGV: 1 user, 2 and 3 the time and the number of the event after which.
-- Answers the last event id, the messages with their ids, the ids of those that reached nobody, and the records of the user's
-- live calls and of those the messages are about.
local user, after_time, after_number = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local key = inbox(user)
local last, messages, unheard, about = '0-0', {}, {}, {}
if redis.call('EXISTS', key) == 1 then
  local info = redis.call('XINFO', 'STREAM', key)
  for at = 1, #info, 2 do
    if info[at] == 'last-generated-id' then last = info[at + 1] end
  end
  for _, entry in ipairs(redis.call('XRANGE', key, '-', '+')) do
    local id, field, value = entry[1], entry[2][1], entry[2][2]
    if field == 'n' then
      unheard[#unheard + 1] = value
    elseif field == 'm' then
      local sent_at, number = string.match(id, '^(%d+)-(%d+)$')
      sent_at, number = tonumber(sent_at), tonumber(number)
      local class, call = string.match(value, '^(%a) %d+ (%S+) ')
      local is_later = sent_at > after_time or sent_at == after_time and number > after_number
      if class and sent_at + INBOX_TTL > now and (is_later or class == 'n') then
        messages[#messages + 1] = id .. ' ' .. value
        if class ~= 'e' then about[call] = true end
      end
    end
  end
end
local records = live_calls(user)
table.remove(records, 1)
for _, record in ipairs(records) do
  about[string.match(record, '"callId":"([^"]+)"') or ''] = nil
end
for call in pairs(about) do
  records[#records + 1] = record_of(call)
end
return { last, messages, unheard, records }
