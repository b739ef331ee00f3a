-- Lets go of what only matters while a call lives.
local function close_call(user, call)
  local last, count, bytes, ends = totals(user)
  local has_changed = false
  for _, class in ipairs({ 'signals', 'notices' }) do
    local key = inbox(class, user)
    local entries = redis.call('LRANGE', key, 0, -1)
    local kept = {}
    for _, entry in ipairs(entries) do
      local size, about = string.match(entry, '^!?%d+ %d+ (%d+) (%S+) ')
      if about == call then
        count, bytes, has_changed = count - 1, bytes - size, true
      else
        kept[#kept + 1] = entry
      end
    end
    if #kept < #entries then
      redis.call('DEL', key)
      for from = 1, #kept, 1000 do
        redis.call('RPUSH', key, unpack(kept, from, math.min(from + 999, #kept)))
      end
      if #kept > 0 then redis.call('PEXPIREAT', key, whole(ends)) end
    end
  end
  if has_changed then keep_totals(user, last, count, bytes, ends) end
end
