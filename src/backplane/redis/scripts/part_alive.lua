-- Whether a node is to be taken for alive. While nobody gave a sign of life, or all have only just come back, everybody is.
local function is_alive(node)
  local beat = tonumber(redis.call('GET', PREFIX .. 'nodes:beat') or '0')
  local grace = tonumber(redis.call('GET', PREFIX .. 'nodes:grace') or '0')
  if grace > now or now - beat > 4000 then return true end
  local seen = tonumber(redis.call('ZSCORE', PREFIX .. 'nodes', node) or '0')
  return now - seen <= 8000
end
