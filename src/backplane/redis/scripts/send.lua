-- Sends a message outside of any change.
-- ARGV: 3 call, 4 the revision it is sent upon or '', 5 token, 6 '1' if it may have been sent already, 7 user, 8 class, 9 size,
-- 10 to 12 limits of an inbox, 13 body, 14 when it is too late. Answers 1 done, 0 stale, -1 too late.
local call, revision, token, user, class = ARGV[3], ARGV[4], ARGV[5], ARGV[7], ARGV[8]
if is_too_late(ARGV[14]) then return -1 end
if revision ~= '' then
  local head = redis.call('GETRANGE', prefix .. 'live:call:' .. call, 0, 31)
  if string.match(head, '^{"rev":(%d+),') ~= revision then return 0 end
end
if ARGV[6] == '1' and was_appended(user, class, token) then return 1 end
local message = { user = user, class = class, size = ARGV[9], body = ARGV[13] }
message.call, message.token, message.revision = call, token, revision == '' and '0' or revision
append(message, { ARGV[10], ARGV[11], ARGV[12] })
return 1
