-- Places that calls keep until they end, shared out among bots.
--
-- TWIN  engine/limits/pool.py
-- USES  numbers state
--
-- The pool of the ceiling is a part of the state, and what a bot has of it stands in the record of the bot: how many
-- places, and for each of its calls, the oldest first, the number of the lease and when it began, as one string. The
-- pool of a worker's connections is that of its process, and comes with the question.

local
  pools
= (function()

local NEVER = -2
local CALL = "<dd"
local CALL_SIZE = #struct.pack(CALL, 0, 0)

local pools = {}

function pools.fresh()
  return {taken = 0, senders = 0, with_calls = 0, period = 0, ended_now = 0, ended_before = 0}
end

function pools.fresh_calls()
  return {taken = 0, began = "", was_slow = false, period = NEVER}
end

-- Return how many of so many places are kept for high.
local function kept_of(places)
  return math.min(math.max(1, floor_div(places, constants.KEPT_PART)), places - 1)
end

local function pass_time(pool)
  local period = floor_div(now_ms, constants.ACTIVE_MS)
  if period <= pool.period then return end
  pool.ended_before = period == pool.period + 1 and pool.ended_now or 0
  pool.ended_now, pool.period = 0, period
end

local function begin_first(pool, calls)
  pass_time(pool)
  pool.with_calls = pool.with_calls + 1
  if calls.period == NEVER then
    pool.senders = pool.senders + 1
  elseif calls.period == pool.period then
    pool.ended_now = pool.ended_now - 1
  elseif calls.period == pool.period - 1 then
    pool.ended_before = pool.ended_before - 1
  end
end

function pools.begin(pool, calls, number, cost)
  if calls.began == "" then begin_first(pool, calls) end
  calls.began = calls.began .. struct.pack(CALL, number, now_ms)
  calls.taken, pool.taken = calls.taken + cost, pool.taken + cost
end

-- Return where a call stands, and when it began.
local function found(calls, number)
  for at = 1, #calls.began, CALL_SIZE do
    local its_number, began_ms = struct.unpack(CALL, calls.began, at)
    if its_number == number then return at, began_ms end
  end
  return nil
end

-- A lease that was lost has another number from now on: its call may be under way still.
function pools.renumber(calls, number, other)
  local at, began_ms = found(calls, number)
  local began = calls.began
  calls.began = string.sub(began, 1, at - 1) .. struct.pack(CALL, other, began_ms) .. string.sub(began, at + CALL_SIZE)
end

function pools.finish(pool, calls, number, cost)
  local at, began_ms = found(calls, number)
  calls.was_slow = now_ms - began_ms >= constants.SLOW_MS
  calls.began = string.sub(calls.began, 1, at - 1) .. string.sub(calls.began, at + CALL_SIZE)
  calls.taken, pool.taken = calls.taken - cost, pool.taken - cost
  if calls.began == "" then
    pass_time(pool)
    pool.with_calls = pool.with_calls - 1
    calls.period = pool.period
    pool.ended_now = pool.ended_now + 1
  end
end

local function is_quick(calls)
  if calls.was_slow or calls.began == "" then return false end
  local _, oldest_ms = struct.unpack(CALL, calls.began)
  return now_ms - oldest_ms < constants.SLOW_MS
end

local function active(pool)
  pass_time(pool)
  return pool.with_calls + pool.ended_now + pool.ended_before
end

-- Tell whether a bot that has ``taken`` places may take another one beyond the half that is any bot's.
local function may_share(places, free, bots, taken, it_is_quick)
  local share = math.max(1, floor_div(places - kept_of(places), math.max(1, bots)))
  return taken < share or (it_is_quick and 2 * taken < places and places < 4 * free)
end

function pools.may_begin(pool, places, calls)
  local free = places - pool.taken
  if 2 * free > places or places == 0 or pool.senders < 2 then return true end
  return may_share(places, free, active(pool), calls.taken, is_quick(calls))
end

function pools.is_left_for_high(pool, places)
  return places > 0 and places - pool.taken <= kept_of(places) and pool.senders > 1
end

-- Return when a quick bot will be slow if no call ends, while places are shared out; nil if that changes nothing.
function pools.slow_at_ms(pool, places, calls)
  if places == 0 or 2 * pool.taken < places or not is_quick(calls) then return nil end
  local _, oldest_ms = struct.unpack(CALL, calls.began)
  return oldest_ms + constants.SLOW_MS
end

-- Return when shares may grow though no call ends; nil: they do not.
function pools.changes_at_ms(pool)
  pass_time(pool)
  return (pool.ended_now > 0 or pool.ended_before > 0) and (pool.period + 1) * constants.ACTIVE_MS or nil
end

-- The connections of the worker that asks, and what this call has given it: {places, free, active, is_shared, bots}.

-- Return them; nil if more than half stay free, or the worker has not said.
function pools.connections(packed)
  if packed == "" then return nil end
  local places, free, bots, is_shared, counts = unpack(cmsgpack.unpack(packed))
  local connections = {places = places, free = free, active = bots, is_shared = is_shared, bots = {}}
  for _, count in ipairs(counts) do connections.bots[count[1]] = {taken = count[2], is_quick = count[3]} end
  return connections
end

local IDLE = {taken = 0, is_quick = false}

function pools.connect(connections, bot_id)
  local bot = connections.bots[bot_id] or IDLE
  connections.free = connections.free - 1
  connections.bots[bot_id] = {taken = bot.taken + 1, is_quick = bot.is_quick}
end

function pools.may_connect(connections, bot_id)
  local places, free = connections.places, connections.free
  if 2 * free > places or not connections.is_shared then return true end
  local bot = connections.bots[bot_id] or IDLE
  return may_share(places, free, connections.active, bot.taken, bot.is_quick)
end

function pools.connects_high_only(connections)
  return connections.free <= kept_of(connections.places) and connections.is_shared
end

return
  pools
end)()
