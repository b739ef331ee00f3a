-- How many calls wait to be told of, how much was not kept, and since when the first of them waits, if any does.
local calls = redis.call('ZCARD', PREFIX .. 'webhooks:due')
local dropped = tonumber(redis.call('GET', PREFIX .. 'webhooks:dropped') or '0')
local first = redis.call('ZRANGE', PREFIX .. 'webhooks:since', 0, 0, 'WITHSCORES')
return { calls, dropped, first[2] and tonumber(first[2]) or false }
