#!lua
-- EDIT: replace (or, with an empty entry, drop) a message that still waits; one whose turn has begun stays. Returns 1
-- when it was changed.
local c, mb, live = KEYS[1], KEYS[2], KEYS[3]
local lane, event, entry, keep = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local s = redis.call('HMGET', c, 'turn', 'take')
local waiting = redis.call('LRANGE', mb, 0, -1)
local from = 1
if waiting[1] and s[1] == string.sub(waiting[1], 1, 32) then from = tonumber(s[2]) + 1 end
for i = from, #waiting do
  if string.sub(waiting[i], 1, 32) == event then
    if entry ~= '' then
      redis.call('LSET', mb, i - 1, entry)
    else
      redis.call('LREM', mb, 1, waiting[i])
      if redis.call('EXISTS', mb) == 0 then sleep(c, live, lane, keep) end
    end
    return 1
  end
end
return 0
