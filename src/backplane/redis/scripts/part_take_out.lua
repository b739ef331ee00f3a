local function delete(key, ids)
  for from = 1, #ids, 1000 do
    redis.call('XDEL', key, unpack(ids, from, math.min(from + 999, #ids)))
  end
end

-- Takes out every message for which `is_meant` says so.
local function take_out(key, is_meant)
  local ids = {}
  for _, entry in ipairs(redis.call('XRANGE', key, '-', '+')) do
    if is_meant(entry[1], entry[2][2]) then ids[#ids + 1] = entry[1] end
  end
  if #ids > 0 then delete(key, ids) end
end
