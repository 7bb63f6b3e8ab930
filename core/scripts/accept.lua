#!lua
-- ACCEPT: store one message once, and begin its turn at once when the lane is free and the worker has a slot.
local c, mb, live, x, ev = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local lane, prefix, entry, owner = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local cap, seen, grace, want = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8]
local awake = tonumber(ARGV[9])
if redis.call('EXISTS', ev) == 1 then
  local s = redis.call('HMGET', c, 'st', 'ep')
  return {'DUP', s[1] == 'woken' and tonumber(s[2]) or 0}
end
if redis.call('LLEN', mb) >= cap then return {'FULL', 0} end
if redis.call('ZCARD', live) >= awake and not redis.call('ZSCORE', live, lane) then return {'BUSY', 0} end
local now = clock()
redis.call('SET', ev, '1', 'PX', seen)
local ep = post(c, mb, live, lane, entry, owner, grace, now)
if ep == 0 then return {'QUEUED', 0} end
if want == '0' then return {'WAKE', ep} end
return {'BEGUN', ep, begin(c, mb, live, x, prefix, lane, ARGV[10], tonumber(ARGV[11]), tonumber(ARGV[12]),
  tonumber(ARGV[13]), tonumber(ARGV[14]), now)}
