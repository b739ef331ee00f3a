-- Keeps an inbox within its bounds: what is too old goes, then the most expendable, the oldest first. ARGV: 1 user.
local key = inbox(ARGV[1])
local count, bytes, classes = 0, 0, { s = {}, n = {}, e = {} }
for _, entry in ipairs(redis.call('XRANGE', key, '-', '+')) do
  local id, field, value = entry[1], entry[2][1], entry[2][2]
  if field == 'm' then
    local class, size = string.match(value, '^(%a) (%d+) ')
    local list = classes[class] or classes.e
    list[#list + 1] = { id, tonumber(size or 0) }
    count, bytes = count + 1, bytes + (size or 0)
  end
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
