#!lua
-- DUE: timed work whose time has come goes into its lane's mailbox, in the same move that takes it off the list, so that
-- it cannot run twice. Returns lane, epoch, ... to be woken.
local due, todo, live = KEYS[1], KEYS[2], KEYS[3]
local prefix, grace, most, seen = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local now = clock()
local woken = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', due, '-inf', now, 'LIMIT', 0, most)) do
  local work = redis.call('HGET', todo, id)
  redis.call('ZREM', due, id)
  redis.call('HDEL', todo, id)
  if work then
    -- lane (32) .. owner (32) .. entry
    local lane, owner, entry = string.sub(work, 1, 32), string.sub(work, 33, 64), string.sub(work, 65)
    local ev = prefix .. ':ev:' .. string.sub(entry, 1, 32)
    if redis.call('SET', ev, '1', 'NX', 'PX', seen) then
      local ep = post(prefix .. ':c:' .. lane, prefix .. ':mb:' .. lane, live, lane, entry, owner, grace, now)
      if ep > 0 then
        woken[#woken + 1] = lane
        woken[#woken + 1] = ep
      end
    end
  end
end
return woken
