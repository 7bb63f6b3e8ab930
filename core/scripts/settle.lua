#!lua flags=allow-oom
-- SETTLE: a call has ended and came to this much: three keys of what is held, then what was spent, the day and the month of
-- each scope. A call that was reserved is settled once.
local id, day, month = ARGV[1], ARGV[5], ARGV[6]
if id ~= '' then
  local was = 0
  for i = 1, 3 do was = was + redis.call('HDEL', KEYS[i], id) end
  if was == 0 then return 0 end
end
for i = 4, #KEYS do
  for n, field in ipairs({'tokens', 'micros', 'unpriced'}) do
    if ARGV[n + 1] ~= '0' then redis.call('HINCRBY', KEYS[i], field, ARGV[n + 1]) end
  end
  redis.call('PEXPIRE', KEYS[i], i % 2 == 0 and day or month)
end
return 1
