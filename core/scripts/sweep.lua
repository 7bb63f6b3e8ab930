#!lua flags=allow-oom
-- SWEEP: lanes whose wake-up was lost or whose worker died get a new epoch, which kills every older wake-up, and are to
-- be woken again. Returns lane, epoch, lane, epoch ...
local live = KEYS[1]
local prefix, grace, most, keep = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local now = clock()
local woken = {}
for _, lane in ipairs(redis.call('ZRANGEBYSCORE', live, '-inf', now, 'LIMIT', 0, most)) do
  local c = prefix .. ':c:' .. lane
  if redis.call('EXISTS', prefix .. ':mb:' .. lane) == 0 then
    sleep(c, live, lane, keep)
  else
    local ep = redis.call('HINCRBY', c, 'ep', 1)
    redis.call('HSET', c, 'st', 'woken')
    redis.call('HDEL', c, 'exp')
    redis.call('ZADD', live, now + grace, lane)
    woken[#woken + 1] = lane
    woken[#woken + 1] = ep
  end
end
return woken
