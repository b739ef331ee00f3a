-- What every script begins with: the names of keys, the time, who is alive, inboxes.
local prefix = ARGV[1]
local channels = ARGV[2]
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

local function whole(number)
  return string.format('%.0f', number)
end

-- Whether it is too late: whoever asked has been told that it failed, and it must not happen behind their back.
local function is_too_late(not_after)
  return now > tonumber(not_after)
end

-- Whether a node is to be taken for alive. While nobody gave a sign of life, or all have only just come back, everybody is.
local function is_alive(node)
  local beat = tonumber(redis.call('GET', prefix .. 'nodes:beat') or '0')
  local grace = tonumber(redis.call('GET', prefix .. 'nodes:grace') or '0')
  if grace > now or now - beat > 3000 then return true end
  local seen = tonumber(redis.call('ZSCORE', prefix .. 'nodes', node) or '0')
  return now - seen <= 6000
end

local function record_of(call)
  return redis.call('GET', prefix .. 'live:call:' .. call) or redis.call('GET', prefix .. 'call:' .. call)
end

-- The live calls of a user: the version of the list, then the records. What has run out is taken out.
local function live_calls(user)
  local key = prefix .. 'calls:user:' .. user
  local fields = redis.call('HGETALL', key)
  local found = { '0' }
  for at = 1, #fields, 2 do
    if fields[at] == 'v' then
      found[1] = fields[at + 1]
    else
      local record = redis.call('GET', prefix .. 'live:call:' .. fields[at])
      if record then found[#found + 1] = record else redis.call('HDEL', key, fields[at]) end
    end
  end
  return found
end

-- The inbox of a user is three lists, the most expendable first, and how much is in them: last event id, messages, bytes.
-- An entry is `id sent_at reached_nobody size call token revision body`.
local CLASSES = { 'signals', 'notices', 'ends' }

local function inbox(class, user)
  return prefix .. 'inbox:' .. class .. ':' .. user
end

local function totals(user)
  local kept = redis.call('GET', prefix .. 'inbox:user:' .. user)
  if not kept then return now, 0, 0 end
  local last, count, bytes = string.match(kept, '^(%d+) (%d+) (%d+)$')
  return tonumber(last), tonumber(count), tonumber(bytes)
end

local function keep_totals(user, last, count, bytes, ttl)
  redis.call('SET', prefix .. 'inbox:user:' .. user, whole(last) .. ' ' .. whole(count) .. ' ' .. whole(bytes), 'PX', ttl)
end

local function size_of(entry)
  return tonumber(string.match(entry, '^%d+ %d+ %d (%d+) '))
end

-- Appends a message and publishes it. `limits` are messages, bytes and milliseconds.
local function append(message, limits)
  local user, class, size = message.user, message.class, tonumber(message.size)
  local last, count, bytes = totals(user)
  local id = whole(last + 1)
  local sent = id .. ' ' .. whole(now) .. ' '
  local rest = message.revision .. ' ' .. message.body
  local listeners = redis.call('PUBLISH', channels .. 'user:' .. user, sent .. rest)
  local nobody = listeners == 0 and '1 ' or '0 '
  redis.call('RPUSH', inbox(class, user), sent .. nobody .. message.size .. ' ' .. message.call .. ' ' .. message.token .. ' ' .. rest)
  count, bytes = count + 1, bytes + size
  local max_count, max_bytes, ttl = tonumber(limits[1]), tonumber(limits[2]), limits[3]
  if class == 'ends' then
    -- The oldest may have been kept long enough.
    for _ = 1, 8 do
      local oldest = redis.call('LINDEX', inbox(class, user), 0)
      if not oldest or tonumber(string.match(oldest, '^%d+ (%d+) ')) + tonumber(ttl) > now then break end
      redis.call('LPOP', inbox(class, user))
      count, bytes = count - 1, bytes - size_of(oldest)
    end
  end
  local at = 1
  while (count > max_count or bytes > max_bytes) and at <= #CLASSES do
    local dropped = redis.call('LPOP', inbox(CLASSES[at], user))
    if dropped then
      count, bytes = count - 1, bytes - size_of(dropped)
    else
      at = at + 1
    end
  end
  keep_totals(user, last + 1, count, bytes, ttl)
  for _, kept in ipairs(CLASSES) do
    redis.call('PEXPIRE', inbox(kept, user), ttl)
  end
end

-- Lets go of what only matters while a call lives.
local function close_call(user, call, ttl)
  local last, count, bytes = totals(user)
  local has_changed = false
  for _, class in ipairs({ 'signals', 'notices' }) do
    local key = inbox(class, user)
    local entries = redis.call('LRANGE', key, 0, -1)
    local kept = {}
    for _, entry in ipairs(entries) do
      local size, about = string.match(entry, '^%d+ %d+ %d (%d+) (%S+) ')
      if about == call then
        count, bytes, has_changed = count - 1, bytes - tonumber(size), true
      else
        kept[#kept + 1] = entry
      end
    end
    if #kept < #entries then
      redis.call('DEL', key)
      for from = 1, #kept, 1000 do
        redis.call('RPUSH', key, unpack(kept, from, math.min(from + 999, #kept)))
      end
      if #kept > 0 then redis.call('PEXPIRE', key, ttl) end
    end
  end
  if has_changed then keep_totals(user, last, count, bytes, ttl) end
end

-- Whether a message of this token is among the last of an inbox.
local function was_appended(user, class, token)
  for _, entry in ipairs(redis.call('LRANGE', inbox(class, user), -64, -1)) do
    if string.match(entry, '^%d+ %d+ %d %d+ %S+ (%S+) ') == token then return true end
  end
  return false
end
