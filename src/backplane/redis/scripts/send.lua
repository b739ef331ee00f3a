-- Sends a message outside of any change.
-- ARGV: 1 when it is too late, 2 call, 3 how its record begins if the message is sent upon it, or '', 4 user, 5 token if it may
-- have been sent already, or '', 6 the message. Answers 1 done, 0 stale, -1 too late.
local head, user, token, message = ARGV[3], ARGV[4], ARGV[5], ARGV[6]
if head ~= '' and redis.call('GETRANGE', PREFIX .. 'live:call:' .. ARGV[2], 0, #head - 1) ~= head then return 0 end
local key = inbox(user)
if token ~= '' then
  for _, entry in ipairs(redis.call('LRANGE', ends(user), -64, -1)) do
    if string.match(entry, '^%a %S+ %a %d+ %S+ (%S+) ') == token then return 1 end
  end
  for _, entry in ipairs(redis.call('XREVRANGE', key, '+', '-', 'COUNT', 64)) do
    if string.match(entry[2][2], '^%a %d+ %S+ (%S+) ') == token then return 1 end
  end
end
local id = redis.call('XADD', key, 'NOMKSTREAM', '*', 'm', message)
if not id or head == '' then
  id = id or redis.call('XADD', key, '*', 'm', message)
  redis.call('PEXPIRE', key, INBOX_KEPT)
end
-- The id begins with the time, or runs ahead of it if the clock was set back.
if id > ARGV[1] then
  local time = redis.call('TIME')
  if time[1] * 1000 + math.floor(time[2] / 1000) > tonumber(ARGV[1]) then
    redis.call('XDEL', key, id)
    return -1
  end
end
publish(user, id, message)
return 1
