#!lua flags=allow-oom
-- RENEW: 0 when the token is not the current one, or was given back (stop at once, write nothing), 2 when the turn is to
-- be stopped, else 1. `how` ends the turn's lease instead: `back` hands it back, another worker goes on at once; `failed`
-- says that the turn failed: it is tried again after a pause of ttl, which grows with its failures. Whoever says so lives:
-- a lease that ends by itself is a worker that died.
local c, live = KEYS[1], KEYS[2]
local lane, fen, ttl, how = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local s = redis.call('HMGET', c, 'fen', 'st', 'stop', 'own')
if s[1] ~= fen or s[2] ~= 'busy' or not s[4] then return 0 end
if how ~= '' then redis.call('HDEL', c, 'own') end
if how == 'failed' then ttl = ttl * math.min(60, redis.call('HINCRBY', c, 'fail', 1)) end
local upto = clock() + ttl
redis.call('HSET', c, 'exp', upto)
redis.call('ZADD', live, upto, lane)
return s[3] == fen and 2 or 1
