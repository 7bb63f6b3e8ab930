-- Shared by all scripts of the mailbox. An entry of a mailbox is
--   event (32) .. sender (32) .. kind (1) .. sealed body
-- kind: m = message that may be merged with its sender's next ones, c = stands alone (command, timed work).
-- State of a lane (hash): st idle|woken|busy, ep epoch, fen fencing token, own = worker that began the turn and has not
-- said what became of it, exp lease end, turn = event at the head, take = messages of the turn, fail = times that it
-- failed while its worker lived to say so, died = times that its worker died since the journal grew, jl = steps in the
-- journal when it was begun, stop = token to be stopped, who = owner of the sealed values.

local function clock()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- How many of the waiting messages form the next turn: consecutive ones of one sender, up to the first that stands alone.
local function taken(mb, most)
  local waiting = redis.call('LRANGE', mb, 0, most - 1)
  if string.sub(waiting[1], 65, 65) ~= 'm' then return 1 end
  local sender = string.sub(waiting[1], 33, 64)
  local n = 1
  while n < #waiting and string.sub(waiting[n + 1], 65, 65) == 'm' and string.sub(waiting[n + 1], 33, 64) == sender do
    n = n + 1
  end
  return n
end

-- The lane sleeps: nothing waits in it, and it is forgotten when nothing more is said.
local function sleep(c, live, lane, keep)
  redis.call('HSET', c, 'st', 'idle')
  redis.call('ZREM', live, lane)
  redis.call('PEXPIRE', c, keep)
end

-- What the turn must read: the lane's choices and summary, the newest blocks of history within a size, and how many blocks
-- the conversation ever had.
local function context(x, prefix, lane, blocks, bytes)
  local fields = redis.call('HGETALL', x)
  local n, base, upto = '0', 0, 0
  for i = 1, #fields, 2 do
    if fields[i] == 'n' then n = fields[i + 1]
    elseif fields[i] == 'base' then base = tonumber(fields[i + 1])
    elseif fields[i] == 'upto' then upto = tonumber(fields[i + 1]) end
  end
  local from = -blocks
  local h = prefix .. ':h:' .. lane .. ':' .. n
  if upto > base then
    local length = redis.call('LLEN', h)
    from = math.max(upto - base, length - blocks)
  end
  local total = base + redis.call('LLEN', h)
  local newest = redis.call('LRANGE', h, from, -1)
  local size, first = 0, #newest + 1
  while first > 1 and (first > #newest or size + #newest[first - 1] <= bytes) do
    first = first - 1
    size = size + #newest[first]
  end
  local kept = {}
  for i = first, #newest do kept[#kept + 1] = newest[i] end
  return fields, kept, total
end

-- Begin the turn at the head of a lane that is free and in which something waits.
local function begin(c, mb, live, x, prefix, lane, worker, ttl, most, blocks, bytes, now)
  local s = redis.call('HMGET', c, 'fen', 'turn', 'take', 'own', 'fail', 'died', 'jl', 'stop', 'who')
  local turn = string.sub(redis.call('LINDEX', mb, 0), 1, 32)
  local journal = prefix .. ':j:' .. lane .. ':' .. turn
  local fen, take, again, fail, died, length, steps, halted = tonumber(s[1]) or 0, 0, 0, 0, 0, 0, {}, 0
  if s[2] == turn then
    again, take, fail, died = 1, tonumber(s[3]), tonumber(s[5] or 0), tonumber(s[6] or 0)
    length = redis.call('HLEN', journal)
    steps = redis.call('HGETALL', journal)
    -- a journal that grew shows that the turn does not kill whoever plays it
    if length > tonumber(s[7]) then died = 0 elseif s[4] then died = died + 1 end
    if s[8] and tonumber(s[8]) == fen then halted = 1 end
  else
    take = taken(mb, most)
  end
  -- by the clock: a replica that took over without the last tokens gives out none of them again
  fen = math.max(fen + 1, now)
  if halted == 1 then redis.call('HSET', c, 'stop', fen) end
  redis.call('HSET', c, 'st', 'busy', 'fen', fen, 'own', worker, 'exp', now + ttl, 'turn', turn, 'take', take,
    'fail', fail, 'died', died, 'jl', length)
  redis.call('PERSIST', c)
  redis.call('ZADD', live, now + ttl, lane)
  local fields, history, total = context(x, prefix, lane, blocks, bytes)
  return {fen, turn, again, fail, died, halted, s[9] or '', redis.call('LRANGE', mb, 0, take - 1), steps, fields, history, total, now}
end

-- Put an entry behind the others; wakes the lane when it sleeps. Returns the epoch to wake, 0 where the lane is awake.
local function post(c, mb, live, lane, entry, owner, grace, now)
  redis.call('RPUSH', mb, entry)
  local s = redis.call('HMGET', c, 'st', 'ep')
  if s[1] == 'woken' or s[1] == 'busy' then return 0 end
  local ep = (tonumber(s[2]) or 0) + 1
  redis.call('HSET', c, 'st', 'woken', 'ep', ep, 'who', owner)
  redis.call('PERSIST', c)
  redis.call('ZADD', live, now + grace, lane)
  return ep
end

-- Put a sealed reply into the outbox and return its id. A process that sends it itself notes that with it; else whoever
-- holds the account hears of it, on the channel that is called like the outbox.
local function put(out, sent, owner, lane, turn, reply, sending, day)
  if sending ~= '' then
    redis.call('HSET', sent, '0', 'sending')
    redis.call('PEXPIRE', sent, day)
    return redis.call('XADD', out, '*', 'o', owner, 'l', lane, 't', turn, 'r', reply, 's', '1')
  end
  local id = redis.call('XADD', out, '*', 'o', owner, 'l', lane, 't', turn, 'r', reply)
  redis.call('SPUBLISH', out, lane .. turn .. owner .. string.format('%-40s', id) .. reply)
  return id
end
