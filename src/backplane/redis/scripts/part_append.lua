-- Appends a message and publishes it. Everything is kept for as long as a message is to be, and a little longer.
local function append(user, message)
  local key = inbox(user)
  local id = redis.call('XADD', key, '*', 'm', message)
  redis.call('PEXPIRE', key, INBOX_KEPT)
  if redis.call('PUBLISH', CHANNELS .. 'user:' .. user, id .. ' ' .. message) == 0 then
    -- Nobody has had it: it is noted as such, in a new place, as nobody knows the first one.
    redis.call('XDEL', key, id)
    redis.call('XADD', key, '*', 'u', message)
  end
end
