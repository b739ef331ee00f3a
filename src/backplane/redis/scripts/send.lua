-- Sends a message outside of any change.
-- ARGV: 1 when it is too late, 2 call, 3 how its record begins if the message is sent upon it, or '', 4 user, 5 class, 6 size,
-- 7 token if it may have been sent already, or '', 8 the entry after its time. Answers 1 done, 0 stale, -1 too late.
local head, user, class, token = ARGV[3], ARGV[4], ARGV[5], ARGV[7]
if now > tonumber(ARGV[1]) then return -1 end
if head ~= '' and redis.call('GETRANGE', PREFIX .. 'live:call:' .. ARGV[2], 0, #head - 1) ~= head then return 0 end
if token ~= '' then
  for _, entry in ipairs(redis.call('LRANGE', inbox(class, user), -64, -1)) do
    if string.match(entry, '^!?%d+ %d+ %d+ %S+ (%S+) ') == token then return 1 end
  end
end
append(user, class, tonumber(ARGV[6]), ARGV[8])
return 1
