#!lua flags=allow-oom
-- SENT: note what happened to a part (`sending` before a try, the platform's id after it); with an outbox id the reply is
-- delivered whole and leaves the outbox.
local sent, out = KEYS[1], KEYS[2]
local day, done = tonumber(ARGV[1]), ARGV[2]
for i = 3, #ARGV, 2 do redis.call('HSET', sent, ARGV[i], ARGV[i + 1]) end
redis.call('PEXPIRE', sent, day)
if done ~= '' then redis.call('XDEL', out, done) end
return 1
