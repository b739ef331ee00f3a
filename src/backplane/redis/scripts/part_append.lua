-- Appends a message and publishes it. Everything is kept for as long as a message is to be, and a little longer.
local function append(user, message)
  local key = inbox(user)
  local id = redis.call('XADD', key, '*', 'm', message)
  redis.call('PEXPIRE', key, INBOX_KEPT)
  publish(user, id, message)
end
