#!lua flags=allow-oom
-- STOP: mark the running turn to be stopped and, where asked, drop what waits behind it. Returns token (0: nothing
-- runs) and the number of dropped messages.
local c, mb, live = KEYS[1], KEYS[2], KEYS[3]
local lane, drop, keep, halts = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local s = redis.call('HMGET', c, 'st', 'fen', 'take', 'turn')
local head = redis.call('LINDEX', mb, 0)
local running = 0
local begun = 0
if head and s[4] == string.sub(head, 1, 32) then
  running = tonumber(s[2])
  begun = tonumber(s[3])
  redis.call('HSET', c, 'stop', running)
  redis.call('SPUBLISH', halts, lane .. running)
end
local dropped = 0
if drop == '1' then
  dropped = redis.call('LLEN', mb) - begun
  if begun == 0 then
    redis.call('DEL', mb)
    if dropped > 0 then sleep(c, live, lane, keep) end
  else
    redis.call('LTRIM', mb, 0, begun - 1)
  end
end
return {running, dropped}
