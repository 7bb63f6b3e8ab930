#!lua
-- SAY: a reply beside the lane (commands that only read, notices), once an event. Returns the outbox id, '' for a
-- repeated event.
local ev, out, sent = KEYS[1], KEYS[2], KEYS[3]
local lane, turn, owner, reply, sending = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local seen, day = tonumber(ARGV[6]), tonumber(ARGV[7])
if not redis.call('SET', ev, '1', 'NX', 'PX', seen) then return {'', 0} end
return {put(out, sent, owner, lane, turn, reply, sending, day), clock()}
