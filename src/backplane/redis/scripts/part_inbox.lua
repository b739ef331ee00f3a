-- The inbox of a user is three lists, the most expendable first, and what is in them all: last event id, messages, bytes, and
-- when all of it runs out. An entry is what was published: `id sent_at size call token revision body`; with a `!` in front, if
-- no node listened.
local CLASSES = { 'signals', 'notices', 'ends' }

local function inbox(class, user)
  return PREFIX .. 'inbox:' .. class .. ':' .. user
end

local function totals(user)
  local kept = redis.call('GET', PREFIX .. 'inbox:user:' .. user)
  if not kept then return now, 0, 0, 0 end
  local last, count, bytes, ends = string.match(kept, '^(%d+) (%d+) (%d+) (%d+)$')
  return tonumber(last), tonumber(count), tonumber(bytes), tonumber(ends)
end

local function keep_totals(user, last, count, bytes, ends)
  local text = string.format('%.0f %.0f %.0f %.0f', last, count, bytes, ends)
  redis.call('SET', PREFIX .. 'inbox:user:' .. user, text, 'KEEPTTL')
end

-- Appends a message and publishes it. `rest` is the entry after its time.
local function append(user, class, size, rest)
  local last, count, bytes, ends = totals(user)
  last, count, bytes = last + 1, count + 1, bytes + size
  local entry = string.format('%.0f %.0f ', last, now) .. rest
  local key = inbox(class, user)
  local listeners = redis.call('PUBLISH', CHANNELS .. 'user:' .. user, entry)
  local length = redis.call('RPUSH', key, listeners == 0 and '!' .. entry or entry)
  -- Everything is kept for as long as a message is to be, and up to an eighth longer: so it need not be said each time.
  local is_renewed = ends - now < INBOX_TTL
  if is_renewed then
    ends = now + math.floor(INBOX_TTL * 9 / 8)
  elseif length == 1 then
    redis.call('PEXPIREAT', key, whole(ends))
  end
  local function drop(from)
    local dropped = redis.call('LPOP', inbox(from, user))
    if not dropped then return false end
    count, bytes = count - 1, bytes - tonumber(string.match(dropped, '^!?%d+ %d+ (%d+) '))
    return true
  end
  if class == 'ends' and length > 1 then
    -- The oldest may have been kept long enough.
    for _ = 1, 8 do
      local oldest = redis.call('LINDEX', key, 0)
      if not oldest or string.match(oldest, '^!?%d+ (%d+) ') + INBOX_TTL > now then break end
      drop(class)
    end
  end
  local at = 1
  while (count > INBOX_MESSAGES or bytes > INBOX_BYTES) and at <= #CLASSES do
    if not drop(CLASSES[at]) then at = at + 1 end
  end
  keep_totals(user, last, count, bytes, ends)
  if is_renewed then
    redis.call('PEXPIREAT', PREFIX .. 'inbox:user:' .. user, whole(ends))
    for _, kept in ipairs(CLASSES) do
      redis.call('PEXPIREAT', inbox(kept, user), whole(ends))
    end
  end
end
