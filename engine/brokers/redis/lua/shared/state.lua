-- The queue as a whole: its state, its limits, and the time of this call.
--
-- TWIN  engine/brokers/memory/queue.py (the attributes of Queue), engine/brokers/redis/codec.py (the record of limits)
-- USES  keys numbers spacing windows records

local state, limits, now_ms
local more_is_due = false

local
  cleared_state, packed_state, unpack_limits, load_state, open
= (function()

local STATE = "<BdddddddddddddI2c0I4c0I2c0I2c0dddddd"
local GROUP = "<ddddd"
local LIMITS = "<dddddddddddddddddddddddddddddd"

local function unpack_group(raw, at)
  local turn, lines, now, last, members
  turn, lines, now, last, members, at = struct.unpack(GROUP, raw, at)
  return {turn = turn, lines = lines, turns = {now = now, last = last, members = members}}, at
end

local function packed_group(group)
  local among = group.turns
  return struct.pack(GROUP, group.turn, group.lines, among.now, among.last, among.members)
end

-- Of a queue that was thrown away this is kept while its keys are removed: which incarnation may begin next.

local CLEARED = 2
local CLEARED_STATE = "<Bd"

local function cleared_state(incarnation)
  return struct.pack(CLEARED_STATE, CLEARED, incarnation)
end

local function unpack_state(raw)
  if string.byte(raw) == CLEARED then
    local _, incarnation = struct.unpack(CLEARED_STATE, raw)
    return {is_cleared = true, incarnation = incarnation}
  end
  local is_barred, incarnation, clock_ms, number, rings, answered, promised_ms, high, normal, low, retry, now, last,
    members, run_id, ceiling, spaced, counts, taken, senders, with_calls, period, ended_now, ended_before, at =
    struct.unpack(STATE, raw)
  local unpacked = {
    is_barred = is_barred == 1, incarnation = incarnation, clock_ms = clock_ms, number = number, rings = rings,
    answered = answered, promised_ms = some(promised_ms), open = {high, normal, low}, retry = retry,
    turns = {now = now, last = last, members = members}, run_id = run_id, ceiling = ceiling,
    ceiling_spacing = spaced, counts = counts, groups = {},
    pool = {
      taken = taken, senders = senders, with_calls = with_calls, period = period, ended_now = ended_now,
      ended_before = ended_before,
    },
  }
  for index = 1, #constants.LINES do unpacked.groups[index], at = unpack_group(raw, at) end
  return unpacked
end

-- Return the record of a queue whose ceiling is packed already.
local function packed_state(kept)
  local among, pool, groups = kept.turns, kept.pool, {}
  for index, group in ipairs(kept.groups) do groups[index] = packed_group(group) end
  return struct.pack(
    STATE, flag(kept.is_barred), kept.incarnation, kept.clock_ms, kept.number, kept.rings, kept.answered,
    kept.promised_ms or NONE, kept.open[1], kept.open[2], kept.open[3], kept.retry, among.now, among.last,
    among.members, #kept.run_id, kept.run_id, #kept.ceiling, kept.ceiling, #kept.ceiling_spacing, kept.ceiling_spacing,
    #kept.counts, kept.counts, pool.taken, pool.senders, pool.with_calls, pool.period, pool.ended_now, pool.ended_before
  ) .. table.concat(groups)
end

-- Its burst is negative if a window holds besides its bucket.
local function limit_of(count, window_ms, burst)
  local has_window = burst <= 0
  return {
    count = count, window_ms = window_ms, burst = burst ~= 0 and math.abs(burst), has_window = has_window,
    places = (has_window or count == 0) and count or burst,
  }
end

local function unpack_limits(raw)
  local version, saved_up, guard_ms, adapt_least, chat_cap, bot_cap, high, normal, low,
    ceiling_count, ceiling_window_ms, ceiling_burst, bot_count, bot_window_ms, bot_burst,
    paid_count, paid_window_ms, paid_burst, purse_count, purse_window_ms, purse_burst,
    chat_count, chat_window_ms, chat_burst, group_count, group_window_ms, group_burst,
    user_count, user_window_ms, user_burst = struct.unpack(LIMITS, raw)
  return {
    version = version, saved_up = saved_up, guard_ms = guard_ms, adapt_least = adapt_least, chat_cap = chat_cap,
    bot_cap = bot_cap, shares = {high, normal, low},
    ceiling = limit_of(ceiling_count, ceiling_window_ms, ceiling_burst),
    bot = limit_of(bot_count, bot_window_ms, bot_burst), paid = limit_of(paid_count, paid_window_ms, paid_burst),
    purse = limit_of(purse_count, purse_window_ms, purse_burst),
    chat = limit_of(chat_count, chat_window_ms, chat_burst),
    group = limit_of(group_count, group_window_ms, group_burst),
    user = limit_of(user_count, user_window_ms, user_burst),
  }
end

local function load_state(state_key)
  local raw = call("GET", state_key)
  state = raw and unpack_state(raw) or nil
end

-- Return the time that a caller gives, and which queue it means: ``"<given_ms> <incarnation> <ledger>"``, or the time
-- alone. One that rebuilds a queue names its incarnation: it may have been frozen until another has begun it anew. One
-- with a ledger names that, because Redis may have been emptied, and be another ledger's by now. "-" is any.
local function meant(given_ms)
  if not string.find(given_ms, " ", 1, true) then return given_ms, "-", "-" end
  return string.match(given_ms, "^(%d*) (%S+) (%S+)$")
end

-- Load the queue. ``given_ms`` "" takes the time of Redis, and what the clock of the process that began the queue was
-- ahead of it; a test gives its own. If it was set back, every time in the queue is one to come: it must be rebuilt.
-- Return why nothing can be done, if that is so: "gone", "barred", "foreign", or "behind" and the seconds. A full Redis
-- refuses only verbs that take messages in: what it holds must be leased and settled, or it would be full for ever.
local function open(state_key, given_ms, leases, takes_in)
  prefix = string.sub(state_key, 1, -6)
  local raw, raw_limits, owner, ahead_ms =
    unpack(call("MGET", state_key, key.limits(), key.ledger(), key.clock()))
  local incarnation, ledger
  given_ms, incarnation, ledger = meant(given_ms)
  if owner and ledger ~= "-" and ledger ~= owner then return {"foreign"} end
  if not raw then return {"gone"} end
  state = unpack_state(raw)
  state.raw = raw
  if state.is_cleared then return {"gone"} end
  if incarnation ~= "-" and tonumber(incarnation) ~= state.incarnation then return {"gone"} end
  state.ahead_ms = tonumber(ahead_ms or 0)
  now_ms = given_ms == "" and time_ms() + state.ahead_ms or tonumber(given_ms)
  local behind_ms = state.clock_ms - now_ms
  if behind_ms >= constants.SET_BACK_MS then return {"behind", tostring(floor_div(behind_ms, 1000))} end
  if leases and state.is_barred then return {"barred"} end
  if not takes_in then call("UNLINK", prefix .. "nothing") end -- what has removed something may write then
  limits = unpack_limits(raw_limits)
  now_ms = math.max(state.clock_ms, now_ms)
  state.clock_ms = now_ms
  state.ceiling = gates.unpacked(state.ceiling, limits.ceiling)
  state.ceiling_spacing = spacings.unpacked(state.ceiling_spacing, limits.ceiling, limits.saved_up)
  return nil
end

return
  cleared_state, packed_state, unpack_limits, load_state, open
end)()
