-- What is kept for a user. ARGV: 1 user, 2 the event after which.
-- Answers the last event id, the entries, and the records of the user's live calls and of those the entries are about.
local user, after = ARGV[1], tonumber(ARGV[2])
local last = totals(user)
local entries, about = {}, {}
for _, class in ipairs(CLASSES) do
  local newest = redis.call('LINDEX', inbox(class, user), -1)
  if newest and (class == 'notices' or tonumber(string.match(newest, '^!?(%d+)')) > after) then
    for _, entry in ipairs(redis.call('LRANGE', inbox(class, user), 0, -1)) do
      local id, sent_at, call = string.match(entry, '^!?(%d+) (%d+) %d+ (%S+) ')
      if sent_at + INBOX_TTL > now and (class == 'notices' or tonumber(id) > after) then
        entries[#entries + 1] = entry
        if class ~= 'ends' then about[call] = true end
      end
    end
  end
end
local records = live_calls(user)
table.remove(records, 1)
for _, record in ipairs(records) do
  about[string.match(record, '"callId":"([^"]+)"')] = nil
end
for call in pairs(about) do
  records[#records + 1] = record_of(call)
end
return { whole(last), entries, records }
