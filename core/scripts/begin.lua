#!lua flags=allow-oom
-- BEGIN: the turn at the head of a lane, unless the wake-up is stale (OLD) or another worker holds the lane (BUSY).
local c, mb, live, x = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local lane, prefix, epoch, keep = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local s = redis.call('HMGET', c, 'ep', 'st', 'exp')
if s[1] ~= epoch then return {'OLD', 0} end
local now = clock()
if s[2] == 'busy' and tonumber(s[3]) > now then return {'BUSY', 0} end
if redis.call('EXISTS', mb) == 0 then
  sleep(c, live, lane, keep)
  return {'IDLE', 0}
end
return {'BEGUN', tonumber(epoch), begin(c, mb, live, x, prefix, lane, ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7]),
  tonumber(ARGV[8]), tonumber(ARGV[9]), now)}
