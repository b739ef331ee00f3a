-- Keeps an inbox within its bounds: what is too old goes, then the most expendable, the oldest first.
-- ARGV: 1 user, 2 '1' if there may be too many bytes rather than too many messages.
local key = inbox(ARGV[1])
if ARGV[2] ~= '1' then
  -- Usually there are only too many signals: then no more is looked at than goes. Some more goes, so that it is not done again soon.
  local excess = redis.call('XLEN', key) + redis.call('LLEN', ends(ARGV[1])) - INBOX_MESSAGES
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
local function count_in(class, id, size)
  local list = classes[class]
  list[#list + 1] = { id, tonumber(size) }
  count, bytes = count + 1, bytes + size
end
for _, entry in ipairs(redis.call('XRANGE', key, '-', '+')) do
  local class, size = string.match(entry[2][2], '^(%a) (%d+) ')
  count_in(class == 's' and 's' or 'n', entry[1], size or 0)
end
for _, entry in ipairs(redis.call('LRANGE', ends(ARGV[1]), 0, -1)) do
  local id, size = string.match(entry, '^%a (%S+) %a (%d+) ')
  count_in('e', id or '0-0', size or 0)
end
local expendable, expended = {}, { s = 0, n = 0, e = 0 }
local function expend(class, message)
  expendable[message[1]] = true
  expended[class] = expended[class] + 1
  count, bytes = count - 1, bytes - message[2]
end
for _, class in ipairs({ 's', 'n', 'e' }) do
  for _, message in ipairs(classes[class]) do
    local is_old = string.match(message[1], '^%d+') + INBOX_TTL <= now
    if is_old or count > INBOX_MESSAGES or bytes > INBOX_BYTES then expend(class, message) end
  end
end
if expended.e > 0 then redis.call('LTRIM', ends(ARGV[1]), expended.e, -1) end
if expended.s + expended.n > 0 then
  take_out(key, function(id) return expendable[id] end)
end
return count
