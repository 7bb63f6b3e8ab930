#!lua flags=allow-oom
-- RETURN: the event that took these places had its turn before, or gets none now: they are free again. One that was refused
-- although it had its turn before: the next refusal is told in its stead.
local refused = ARGV[#ARGV] == '1'
for i, key in ipairs(KEYS) do
  local upto = tonumber(redis.call('HGET', key, 'upto'))
  if refused then redis.call('HDEL', key, 'quiet')
  elseif upto then redis.call('HSET', key, 'upto', upto - tonumber(ARGV[2 * i - 1])) end
end
return 1
