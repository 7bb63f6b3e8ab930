#!lua flags=allow-oom
-- COMMIT: consume the turn's messages, put its reply into the outbox and its lines into the history, all or nothing.
-- The head of the mailbox is checked besides the token: after a commit the token is still the current one, so a repeated
-- commit (unknown outcome) would consume the next message.
local c, mb, live, x, out, sent, h, j = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local lane, prefix, fen, turn = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local reply, owner, sending, block, replace = ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9]
local keep, most_blocks, grace, day, want = tonumber(ARGV[10]), tonumber(ARGV[11]), tonumber(ARGV[12]), tonumber(ARGV[13]), ARGV[14]
local s = redis.call('HMGET', c, 'fen', 'st', 'turn', 'take', 'ep')
local head = redis.call('LINDEX', mb, 0)
if s[1] ~= fen or s[2] ~= 'busy' or s[3] ~= turn or not head or string.sub(head, 1, 32) ~= turn then
  return {'FENCED', '', 0}
end
local now = clock()
redis.call('LTRIM', mb, tonumber(s[4]), -1)
local id = ''
if reply ~= '' then
  id = put(out, sent, owner, lane, turn, reply, sending, day)
end
if block ~= '' then
  if replace == '1' then redis.call('RPOP', h) end
  local length = redis.call('RPUSH', h, block)
  if length > most_blocks then
    redis.call('LTRIM', h, length - most_blocks, -1)
    redis.call('HINCRBY', x, 'base', length - most_blocks)
  end
end
redis.call('PEXPIRE', h, keep)
for i = 20, #ARGV, 2 do
  if ARGV[i + 1] == '' then redis.call('HDEL', x, ARGV[i]) else redis.call('HSET', x, ARGV[i], ARGV[i + 1]) end
end
redis.call('PEXPIRE', x, keep)
redis.call('DEL', j)
redis.call('HDEL', c, 'own', 'exp', 'turn', 'take', 'fail', 'died', 'jl', 'stop')
if redis.call('LLEN', mb) == 0 then
  sleep(c, live, lane, keep)
  return {'IDLE', id, 0, now}
end
local ep = tonumber(s[5]) + 1
redis.call('HSET', c, 'st', 'woken', 'ep', ep)
redis.call('ZADD', live, now + grace, lane)
if want == '0' then return {'MORE', id, ep, now} end
return {'BEGUN', id, ep, now, begin(c, mb, live, x, prefix, lane, ARGV[15], tonumber(ARGV[16]), tonumber(ARGV[17]),
  tonumber(ARGV[18]), tonumber(ARGV[19]), now)}
