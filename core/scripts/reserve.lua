#!lua flags=allow-oom
-- RESERVE: may one more call of a model be made? Keys: what calls under way may come to, for person, chat and installation,
-- each a hash of id -> `tokens:micros:until`; then, for each limit, what was spent in its period. A limit of which something
-- is left lets one more call through. Each scope gets its part, or none. Returns the number of the limit that has nothing
-- left (0: none) and whether that is really spent, and not only held.
local now, id, tokens, micros = clock(), ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local free, life = ARGV[4] == '1', tonumber(ARGV[5])
local held = {}
for i = 1, 3 do
  held[i] = {tokens = 0, micros = 0}
  local calls = redis.call('HGETALL', KEYS[i])
  for n = 1, #calls, 2 do
    local t, m, upto = string.match(calls[n + 1], '(%d+):(%d+):(%d+)')
    if tonumber(upto) <= now then
      redis.call('HDEL', KEYS[i], calls[n])  -- its worker died
    elseif calls[n] ~= id then
      held[i].tokens, held[i].micros = held[i].tokens + tonumber(t), held[i].micros + tonumber(m)
    end
  end
end
for n = 4, #KEYS do
  local at = 6 + 3 * (n - 4)
  local scope, unit, most = tonumber(ARGV[at]), ARGV[at + 1], tonumber(ARGV[at + 2])
  local spent = tonumber(redis.call('HGET', KEYS[n], unit)) or 0
  if (unit == 'tokens' or not free) and spent + held[scope][unit] >= most then
    return {n - 3, spent >= most and 1 or 0}
  end
end
for i = 1, 3 do
  redis.call('HSET', KEYS[i], id, tokens .. ':' .. micros .. ':' .. string.format('%d', now + life))
  redis.call('PEXPIRE', KEYS[i], life)
end
return {0, 0}
