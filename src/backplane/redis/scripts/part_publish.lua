-- Publishes a message that is in the stream, and sees to it that it is kept as what it is: an end, or one that nobody has had.
local function publish(user, id, message)
  local key, mark = inbox(user), 'm'
  if redis.call('PUBLISH', CHANNELS .. 'user:' .. user, id .. ' ' .. message) == 0 then mark = 'u' end
  if string.sub(message, 1, 2) == 'e ' then
    redis.call('XDEL', key, id)
    redis.call('RPUSH', ends(user), mark .. ' ' .. id .. ' ' .. message)
    redis.call('PEXPIRE', ends(user), INBOX_KEPT)
  elseif mark == 'u' then
    -- In a new place, as nobody knows the first one.
    redis.call('XDEL', key, id)
    redis.call('XADD', key, '*', 'u', message)
  end
end
