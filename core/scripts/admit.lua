#!lua flags=allow-oom
-- ADMIT: may one more message go out? Each key is a bucket of the generic cell rate algorithm: it holds the time up to which
-- it is spent. A final always gets its place: the answer is how long it waits. A partial gets one only at once, and only
-- where a final that comes next would not have to wait for it (or the bucket has one place only): else -1, nothing is spent.
local now, final = clock(), ARGV[1] == '1'
local spent, wait = {}, 0
for i, key in ipairs(KEYS) do
  local every, burst = tonumber(ARGV[2 * i]), tonumber(ARGV[2 * i + 1])
  spent[i] = math.max(now, tonumber(redis.call('GET', key)) or 0)
  local room = final and burst - 1 or math.max(burst - 2, 0)
  wait = math.max(wait, spent[i] - room * every - now)
end
if wait > 0 and not final then return -1 end
for i, key in ipairs(KEYS) do
  local every = tonumber(ARGV[2 * i])
  local upto = math.ceil(math.max(spent[i], now + wait) + every)
  redis.call('SET', key, upto, 'PX', upto - now + 1000)
end
return math.ceil(wait)
