-- Keeps an inbox within its bounds: what is too old goes, then the most expendable, the oldest first.
-- ARGV: 1 user, 2 '1' if there may be too many bytes rather than too many messages.
local key = inbox(ARGV[1])
if ARGV[2] ~= '1' then
  -- Usually there are only too many signals: then no more is looked at than goes. Some more goes, so that it is not done again soon.
  local excess = redis.call('XLEN', key) - INBOX_MESSAGES
  if excess <= 0 then return 0 end
  local wanted, from, ids = excess + math.floor(INBOX_MESSAGES / 32), '-', {}
  while from and #ids < wanted do
    local entries = redis.call('XRANGE', key, from, '+', 'COUNT', 100)
    for _, entry in ipairs(entries) do
      if #ids < wanted and string.sub(entry[2][2], 1, 2) == 's ' then ids[#ids + 1] = entry[1] end
    end
    from = #entries == 100 and '(' .. entries[#entries][1]
  end
  if #ids >= wanted then
    delete(key, ids)
    return #ids
  end
end
local count, bytes, classes = 0, 0, { s = {}, n = {}, e = {} }
for _, entry in ipairs(redis.call('XRANGE', key, '-', '+')) do
  local class, size = string.match(entry[2][2], '^(%a) (%d+) ')
  local list = classes[class] or classes.e
  list[#list + 1] = { entry[1], tonumber(size or 0) }
  count, bytes = count + 1, bytes + (size or 0)
end
local expendable = {}
local function expend(message)
  expendable[message[1]] = true
  count, bytes = count - 1, bytes - message[2]
end
for _, class in ipairs({ 's', 'n', 'e' }) do
  for _, message in ipairs(classes[class]) do
    local is_old = string.match(message[1], '^%d+') + INBOX_TTL <= now
    if is_old or count > INBOX_MESSAGES or bytes > INBOX_BYTES then expend(message) end
  end
end
if next(expendable) then
  take_out(key, function(id) return expendable[id] end)
end
return count
