-- Connects a device, or writes down again that it is connected.
-- ARGV: 1 user, 2 device or '' if it has no name, 3 session, 4 node, 5 when it registered, 6 the documented session record (`@device@` in it is the device),
-- 7 ms that devices are remembered which no push reaches, 8 's' of the documented keys, 9 most devices, 10 '' or, to renew,
-- the device; 11 and 12 its position,
-- 13 when it is too late, then for each push token: its kind, the token.
-- Answers `displaced`, `late`, or: device, received and described or '-', when the last holder was lost or 0, the session and the node
-- that were displaced or ''.
local user, named, session, node, at = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local ttl, renewed = tonumber(ARGV[7]), ARGV[10] ~= ''
local key = PREFIX .. 'devices:user:' .. user
if now > tonumber(ARGV[13]) then return { 'late' } end

-- A device is `session|node|received|described|seen|is_named|lost_at`.
local function device_of(text)
  local found = {}
  found.session, found.node, found.received, found.described, found.seen, found.is_named, found.lost_at =
    string.match(text, '^([^|]*)|([^|]*)|([^|]*)|([^|]*)|(%d+)|(%d)|(%d+)$')
  return found
end

local function is_gone(device)
  return device.session == '' or not is_alive(device.node)
end

local function has_token(device)
  for _, kind in ipairs(PUSH_TOKEN_KINDS) do
    if redis.call('HGET', key, kind .. ':' .. device) then return true end
  end
  return false
end

local function is_forgotten(device, record)
  if record.session ~= '' then return false end
  return tonumber(record.seen) + (has_token(device) and math.max(ttl, PUSH_TOKEN_TTL) or ttl) <= now
end

-- A token reaches one installation of an app: whoever registers it takes it from the device that had it.
local function take_token(kind, token, device)
  local held_by = PREFIX .. 'device:token:' .. redis.sha1hex(token)
  local me = device .. '\n' .. user
  local last = redis.call('GET', held_by)
  if last and last ~= me then
    local other, other_user = string.match(last, '^(.-)\n(.*)$')
    local other_key = PREFIX .. 'devices:user:' .. (other_user or '')
    if other and redis.call('HGET', other_key, kind .. other) == token then redis.call('HDEL', other_key, kind .. other) end
  end
  redis.call('SET', held_by, me, 'PX', PUSH_TOKEN_TTL)
  redis.call('HSET', key, kind .. device, token)
end

-- Whatever is known of a device goes, also what another release has written.
local function forget(device, record)
  if record.session ~= '' then redis.call('HDEL', key, 's:' .. record.session) end
  for _, field in ipairs(redis.call('HKEYS', key)) do
    if string.match(field, '^[^:]+:(.*)$') == device and string.sub(field, 1, 2) ~= 's:' then redis.call('HDEL', key, field) end
  end
end

-- A client that names no device is a new one at every connect, and its call would otherwise have lost it.
local function awaited_unnamed()
  local calls
  local fields = redis.call('HGETALL', key)
  for field = 1, #fields, 2 do
    local device = string.match(fields[field], '^at:(.*)$')
    local record = device and device_of(fields[field + 1])
    if record and record.is_named == '0' and record.session ~= session and is_gone(record) then
      calls = calls or live_calls(user)
      for call = 2, #calls do
        if string.find(calls[call], 'Device":"' .. device .. '"', 1, true) then return device end
      end
    end
  end
end

local function make_room(most)
  local oldest, oldest_record, count = nil, nil, 0
  local fields = redis.call('HGETALL', key)
  for field = 1, #fields, 2 do
    local device = string.match(fields[field], '^at:(.*)$')
    if device then
      count = count + 1
      local record = device_of(fields[field + 1])
      if is_gone(record) and (not oldest or tonumber(record.seen) < tonumber(oldest_record.seen)) then
        oldest, oldest_record = device, record
      end
    end
  end
  if count >= most and oldest then forget(oldest, oldest_record) end
end

local device = renewed and ARGV[10] or named
if device == '' then
  device = redis.call('HGET', key, 's:' .. session) or awaited_unnamed() or session
end
-- A session holds one device.
local held = redis.call('HGET', key, 's:' .. session)
if held and held ~= device then
  local left = redis.call('HGET', key, 'at:' .. held)
  if left then redis.call('HSET', key, 'at:' .. held, (string.gsub(left, '^[^|]*|[^|]*|', '||'))) end
end
local text = redis.call('HGET', key, 'at:' .. device)
local before = text and device_of(text)
if before and is_forgotten(device, before) then
  forget(device, before)
  before = nil
end
local is_named = named ~= '' and '1' or '0'
local received, described, lost_at, old_session, old_node = '-', '-', '0', '', ''
if before then
  is_named, received, described, lost_at = before.is_named, before.received, before.described, before.lost_at
  if before.session ~= '' and before.session ~= session then
    -- A registration that was long on its way, perhaps of a socket that has gone meanwhile, does not displace a later one.
    if tonumber(before.seen) > at and is_alive(before.node) then return { 'displaced' } end
    old_session, old_node = before.session, before.node
    -- A node that does not listen is dead, even if nobody has noticed yet.
    local displace = 'displace ' .. node .. ' ' .. session .. ' ' .. old_session .. ' ' .. user
    local is_there = old_node == node
      or is_alive(old_node) and redis.call('PUBLISH', CHANNELS .. 'node:' .. old_node, displace) > 0
    if not is_there then
      lost_at = redis.call('ZSCORE', PREFIX .. 'nodes', old_node) or whole(now)
      old_node = ''
    end
    redis.call('HDEL', key, 's:' .. old_session)
    redis.call('DEL', PREFIX .. 'user:socket:' .. old_session)
    redis.call('SREM', PREFIX .. 'sessions:node:' .. before.node, old_session .. ' ' .. user)
  end
elseif redis.call('HLEN', key) > tonumber(ARGV[9]) then
  make_room(tonumber(ARGV[9]))
end
local answer = { device, received, described, lost_at, old_session, old_node }

if renewed then received, described = ARGV[11], ARGV[12] end
-- A socket without a name is called like a socket: letters, digits, `-` and `_`.
local documented = ARGV[6]
if named == '' and not renewed then documented = string.gsub(documented, '@device@', device) end
local record = table.concat({ session, node, received, described, whole(at), is_named, '0' }, '|')
redis.call('HSET', key, 'at:' .. device, record, 'json:' .. device, documented, 's:' .. session, device)
for at = 14, #ARGV, 2 do
  take_token(ARGV[at] .. ':', ARGV[at + 1], device)
end
local kept = math.max(ttl, tonumber(ARGV[8]) * 1000, has_token(device) and PUSH_TOKEN_TTL or 0)
-- Another device may have to be remembered for longer.
if redis.call('PTTL', key) < kept then redis.call('PEXPIRE', key, whole(kept)) end
redis.call('SADD', PREFIX .. 'sessions:node:' .. node, session .. ' ' .. user)
redis.call('SET', PREFIX .. 'user:socket:' .. session, user, 'EX', ARGV[8])
local newest = PREFIX .. 'socket:user:' .. user
local is_newest = true
if renewed then
  local current = redis.call('GET', newest)
  is_newest = not current or current == session
end
if is_newest then
  redis.call('SET', newest, session, 'EX', ARGV[8])
  redis.call('SET', PREFIX .. 'session:user:' .. user, documented, 'EX', ARGV[8])
end
return answer
