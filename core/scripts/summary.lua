#!lua flags=allow-oom
-- SUMMARY: put the summary of older blocks in place, unless the conversation or an earlier summary has moved on.
local x = KEYS[1]
local n, before, upto, summary, keep = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local s = redis.call('HMGET', x, 'n', 'upto')
if (s[1] or '0') ~= n or (s[2] or '0') ~= before then return 0 end
redis.call('HSET', x, 'sum', summary, 'upto', upto)
redis.call('PEXPIRE', x, keep)
return 1
