#!lua flags=allow-oom
-- LEASE: take an account of ours, or keep it; one process holds it at a time. `over` names a holder that is known to be gone;
-- a ttl of 0 gives the account back. Returns who holds it otherwise ('' when it is ours now), and the time.
local account, me, ttl, over = KEYS[1], ARGV[1], tonumber(ARGV[2]), ARGV[3]
local holder = redis.call('GET', account)
if holder and holder ~= me and holder ~= over then return {holder, clock()} end
if ttl > 0 then redis.call('SET', account, me, 'PX', ttl) elseif holder == me then redis.call('DEL', account) end
return {'', clock()}
