#!lua flags=allow-oom
-- TAKE: may one more turn begin? Buckets as in ADMIT, each a hash: `upto`, the time up to which it is spent, and `quiet`,
-- until when no refusal is told any more. A turn takes a place in each of them, or in none. Returns the milliseconds to
-- wait, the number of the bucket that asks for them, and whether that is to be told.
local now, minute = clock(), 60000
local upto, wait, full = {}, 0, 0
for i, key in ipairs(KEYS) do
  local every, burst = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  upto[i] = math.max(now, tonumber(redis.call('HGET', key, 'upto')) or 0)
  local left = math.ceil(upto[i] - (burst - 1) * every - now)
  if left > wait then wait, full = left, i end
end
if wait == 0 then
  for i, key in ipairs(KEYS) do
    upto[i] = math.ceil(upto[i] + tonumber(ARGV[2 * i - 1]))
    redis.call('HSET', key, 'upto', upto[i])
    redis.call('PEXPIRE', key, math.max(redis.call('PTTL', key), upto[i] - now + 1000))
  end
  return {0, 0, 0}
end
-- A person is told once a minute, and so is a group that is full: not each of its people.
local telling = full == 1 and {1} or {1, full}
for _, i in ipairs(telling) do
  if (tonumber(redis.call('HGET', KEYS[i], 'quiet')) or 0) > now then return {wait, full, 0} end
end
for _, i in ipairs(telling) do
  redis.call('HSET', KEYS[i], 'quiet', now + minute)
  redis.call('PEXPIRE', KEYS[i], math.max(redis.call('PTTL', KEYS[i]), minute))
end
return {wait, full, 1}
