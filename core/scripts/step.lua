#!lua flags=allow-oom
-- STEP: keep the result of a finished call before it is used; renews the lease on the way. Answers as RENEW does.
local c, live, j = KEYS[1], KEYS[2], KEYS[3]
local lane, fen, ttl, step, value, day = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5], tonumber(ARGV[6])
local s = redis.call('HMGET', c, 'fen', 'st', 'stop')
if s[1] ~= fen or s[2] ~= 'busy' then return 0 end
local now = clock()
redis.call('HSET', j, step, value)
redis.call('PEXPIRE', j, day)
redis.call('HSET', c, 'exp', now + ttl)
redis.call('ZADD', live, now + ttl, lane)
return s[3] == fen and 2 or 1
