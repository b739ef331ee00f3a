-- Nothing more is to be told of a call. When that is so of all calls, it is forgotten how much was not kept.
local function let_go(call)
  local due = PREFIX .. 'webhooks:due'
  redis.call('ZREM', due, call)
  redis.call('ZREM', PREFIX .. 'webhooks:since', call)
  if redis.call('EXISTS', due) == 0 then redis.call('DEL', PREFIX .. 'webhooks:dropped') end
end
