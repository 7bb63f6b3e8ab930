#!lua flags=allow-oom
-- HOLD: the platform asked us to wait so many milliseconds: nothing goes through this bucket earlier.
local every, burst, ms = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local now = clock()
local upto = math.ceil(math.max(now + ms + (burst - 1) * every, tonumber(redis.call('GET', KEYS[1])) or 0))
redis.call('SET', KEYS[1], upto, 'PX', upto - now + 1000)
return 1
