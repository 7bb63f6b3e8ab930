#!lua flags=allow-oom
-- RENEW: 0 when the token is not the current one (stop at once, write nothing), 2 when the turn is to be stopped, else 1.
-- A ttl of 0 hands the lease back: another worker goes on at once.
local c, live = KEYS[1], KEYS[2]
local lane, fen, ttl = ARGV[1], ARGV[2], tonumber(ARGV[3])
local s = redis.call('HMGET', c, 'fen', 'st', 'stop')
if s[1] ~= fen or s[2] ~= 'busy' then return 0 end
local now = clock()
redis.call('HSET', c, 'exp', now + ttl)
redis.call('ZADD', live, now + ttl, lane)
return s[3] == fen and 2 or 1
