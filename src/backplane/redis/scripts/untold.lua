-- How many calls wait to be told of, and of how many nothing was kept.
return { redis.call('ZCARD', PREFIX .. 'webhooks:due'), tonumber(redis.call('GET', PREFIX .. 'webhooks:dropped') or '0') }
