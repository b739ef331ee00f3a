-- The inbox of a user is a stream. A message is the field `m`, `class size call token revision body`; the classes, the most
-- expendable first, are signals `s`, notices that need their call live `n`, and ends `e`. A field `n` is the id of a message that
-- no node listened to.
local function inbox(user)
  return PREFIX .. 'inbox:user:' .. user
end

local function publish(user, key, id, message)
  if redis.call('PUBLISH', CHANNELS .. 'user:' .. user, id .. ' ' .. message) == 0 then
    redis.call('XADD', key, '*', 'n', id)
  end
end

local function delete(key, ids)
  for from = 1, #ids, 1000 do
    redis.call('XDEL', key, unpack(ids, from, math.min(from + 999, #ids)))
  end
end

-- Takes out every message for which `is_meant` says so, and what is noted about it.
local function take_out(key, is_meant)
  local ids, gone = {}, {}
  local entries = redis.call('XRANGE', key, '-', '+')
  for _, entry in ipairs(entries) do
    local id, field, value = entry[1], entry[2][1], entry[2][2]
    if field == 'm' and is_meant(id, value) or field == 'n' and gone[value] then
      ids[#ids + 1], gone[id] = id, true
    end
  end
  if #ids > 0 then delete(key, ids) end
end

-- Lets go of what only matters while a call lives.
local function close_call(user, call)
  take_out(inbox(user), function(_, message)
    local class, about = string.match(message, '^(%a) %d+ (%S+) ')
    return about == call and class ~= 'e'
  end)
end

-- Keeps an inbox within its bounds: what is too old goes, then the most expendable, the oldest first.
local function trim(user)
  local key = inbox(user)
  local count, bytes, classes = 0, 0, { s = {}, n = {}, e = {} }
  for _, entry in ipairs(redis.call('XRANGE', key, '-', '+')) do
    local id, field, value = entry[1], entry[2][1], entry[2][2]
    if field == 'm' then
      local class, size = string.match(value, '^(%a) (%d+) ')
      local list = classes[class]
      list[#list + 1] = { id, tonumber(size) }
      count, bytes = count + 1, bytes + size
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
end

-- Appends a message and publishes it. Everything is kept for as long as a message is to be, and a little longer.
local function append(user, message)
  local key = inbox(user)
  local id = redis.call('XADD', key, '*', 'm', message)
  redis.call('PEXPIRE', key, INBOX_KEPT)
  publish(user, key, id, message)
end
