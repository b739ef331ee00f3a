local function delete(key, ids)
  for from = 1, #ids, 1000 do
    redis.call('XDEL', key, unpack(ids, from, math.min(from + 999, #ids)))
  end
end

-- Takes out every message for which `is_meant` says so, and what is noted about it.
local function take_out(key, is_meant)
  local ids, gone = {}, {}
  local entries = redis.call('XRANGE', key, '-', '+')
  for _, entry in ipairs(entries) do
    local id, field, value = entry[1], entry[2][1], entry[2][2]
    if field == 'm' and is_meant(id, value) or field == 'n' and gone[value] then
      ids[#ids + 1], gone[id] = id, true
    end
  end
  if #ids > 0 then delete(key, ids) end
end

