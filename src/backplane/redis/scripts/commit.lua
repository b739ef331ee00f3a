-- Changes a call: record, deadline, lists of live calls and messages at once, or nothing.
-- ARGV: 1 when it is too late, 2 call, 3 expected revision or '', 4 token, 5 revision, 6 record, 7 '1' if live, 8 deadline in ms
-- or '', 9 ms the documented record is kept, 10 caller, 11 callee, 12 and 13 versions of their lists, 14 key of the request or
-- '', 15 how many milestones are to be told, 16 how many entries go into the timeline, those, these, then for each message: user, the
-- message.
-- Answers 1 done, 0 lost, -1 too late, or the call that was made under the same request.
if now > tonumber(ARGV[1]) then return -1 end
local call, expected, token, revision, record = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local is_live, deadline, request = ARGV[7] == '1', ARGV[8], ARGV[14]
-- As long as the longest call, and a day.
local LISTS_TTL = 691200000
local live, documented, timer = PREFIX .. 'live:call:' .. call, PREFIX .. 'call:' .. call, PREFIX .. 'timeout:call:' .. call

local function revision_of(key)
  return string.match(redis.call('GETRANGE', key, 0, 95), '^{"rev":(%d+),"by":"([^"]*)"')
end
local at, by = revision_of(live)
if not at then at, by = revision_of(documented) end
-- The answer to this very change was lost.
if at == revision and by == token then return 1 end
if (at or '') ~= expected then return 0 end

local function list_of(user)
  local key = PREFIX .. 'calls:user:' .. user
  local version, calls = string.match(redis.call('GET', key) or '0', '^(%d+)(.*)$')
  return key, version, calls
end
local function keep_list(key, version, calls)
  -- An empty list is kept for as long as anybody may hold its version.
  redis.call('SET', key, whole(version + 1) .. calls, 'PX', calls == '' and 3600000 or LISTS_TTL)
end
if expected == '' then
  local first = request ~= '' and redis.call('GET', PREFIX .. request)
  if first then return first end
  local caller, caller_version, caller_calls = list_of(ARGV[10])
  local callee, callee_version, callee_calls = list_of(ARGV[11])
  if caller_version ~= ARGV[12] or callee_version ~= ARGV[13] then return 0 end
  if request ~= '' then redis.call('SET', PREFIX .. request, call, 'PX', INBOX_TTL) end
  if is_live then
    keep_list(caller, caller_version, caller_calls .. ' ' .. call)
    keep_list(callee, callee_version, callee_calls .. ' ' .. call)
  end
elseif not is_live then
  for _, user in ipairs({ ARGV[10], ARGV[11] }) do
    local key, version, calls = list_of(user)
    local from, to = string.find(calls, ' ' .. call, 1, true)
    if from then
      keep_list(key, version, string.sub(calls, 1, from - 1) .. string.sub(calls, to + 1))
      -- What only matters while it lives is let go.
      if from == 1 and to == #calls then
        redis.call('XTRIM', inbox(user), 'MAXLEN', 0)
      else
        take_out(inbox(user), function(_, message)
          return string.match(message, '^%a %d+ (%S+) ') == call
        end)
      end
    end
  end
end

redis.call('SET', documented, record, 'PX', ARGV[9])
local left = is_live and math.max(math.min(tonumber(deadline) - now, LISTS_TTL), 0) or 0
if is_live then
  redis.call('SET', live, record, 'PX', whole(left + 86400000))
  redis.call('ZADD', PREFIX .. 'deadlines', deadline, call)
  if left > 0 then redis.call('SET', timer, deadline, 'PX', whole(left)) else redis.call('DEL', timer) end
elseif expected ~= '' then
  redis.call('DEL', live, timer)
  redis.call('ZREM', PREFIX .. 'deadlines', call)
end
local fed, noted = tonumber(ARGV[15]), tonumber(ARGV[16])
if fed > 0 then feed(call, 17, 16 + fed) end
if TIMELINE_CALLS > 0 then timeline(call, 17 + fed, 16 + fed + noted, expected == '', left) end
for message = 17 + fed + noted, #ARGV, 2 do
  append(ARGV[message], ARGV[message + 1])
end
return 1
