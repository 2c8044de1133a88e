-- The state behind a limit: what is taken, and when it is free again.
--
-- TWIN  engine/limits/windows.py (Window, PacedWindow and Bucket are gates)
-- USES  numbers spacing
--
-- A gate is {limit, places, in_flight}, with {counted} if it is a window, with {drained_at, count} if it
-- is a bucket, and with both if it is a window with a bucket besides it; then what is in flight is taken from
-- the window alone. ``counted`` is one string of doubles, oldest first: to read and write it is to copy it.

local
  gates, both_free_at_ms
= (function()

local gates = {}

function gates.fresh(limit)
  if not limit or limit.count == 0 then return nil end
  local gate = {limit = limit, places = limit.places, in_flight = 0}
  if limit.burst then gate.drained_at, gate.count = 0, limit.count end
  if limit.has_window then gate.counted = "" end
  return gate
end

local TIME = "<d"
local TIME_SIZE = 8

-- Return the time at a place of a window; nil before its first and beyond its end.
local function time_at(counted, place)
  local at = place * TIME_SIZE
  return at > 0 and at <= #counted and struct.unpack(TIME, counted, at - TIME_SIZE + 1) or nil
end

-- Insert a time so often in order; nearly always at the end.
local function with_counted(counted, at_ms, often)
  local size = #counted
  while size > 0 and struct.unpack(TIME, counted, size - TIME_SIZE + 1) > at_ms do size = size - TIME_SIZE end
  return string.sub(counted, 1, size) .. string.rep(struct.pack(TIME, at_ms), often) .. string.sub(counted, size + 1)
end

-- Take over the places of a gate that turned out to be this one. What its bucket has spent is known only to a gate
-- of the same kind.
function gates.absorb(gate, other)
  gate.in_flight = gate.in_flight + other.in_flight
  if gate.counted == "" and other.counted then
    gate.counted = other.counted
  elseif gate.counted and other.counted then
    for place = 1, #other.counted / TIME_SIZE do
      gate.counted = with_counted(gate.counted, time_at(other.counted, place), 1)
    end
  end
  if gate.drained_at and other.drained_at and not gate.counted == not other.counted then
    gate.drained_at = math.max(gate.drained_at, scaled(other.drained_at, gate.count, other.count))
  end
end

-- A gate in a record: nothing if nothing is taken, "w" and a window, "b" and a bucket, "p" and both.

local PACKED_WINDOW = "<c1d"
local PACKED_BUCKET = "<c1ddd"

function gates.packed(gate)
  if not gate then return "" end
  if gate.drained_at then
    local kind = gate.counted and "p" or "b"
    return struct.pack(PACKED_BUCKET, kind, gate.in_flight, gate.drained_at, gate.count) .. (gate.counted or "")
  end
  if gate.in_flight == 0 and gate.counted == "" then return "" end
  return struct.pack(PACKED_WINDOW, "w", gate.in_flight) .. gate.counted
end

local function read_gate(packed)
  if string.sub(packed, 1, 1) == "w" then
    local _, in_flight, first = struct.unpack(PACKED_WINDOW, packed)
    return {in_flight = in_flight, counted = string.sub(packed, first)}
  end
  local kind, in_flight, drained_at, count, first = struct.unpack(PACKED_BUCKET, packed)
  local counted = kind == "p" and string.sub(packed, first) or nil
  return {in_flight = in_flight, drained_at = drained_at, count = count, counted = counted}
end

-- Return a kept gate under the limit of now: what was taken under another stays taken.
function gates.unpacked(packed, limit)
  local gate = gates.fresh(limit)
  if not gate or not packed or packed == "" then return gate end
  gates.absorb(gate, read_gate(packed))
  return gate
end

-- Return how much of a window's string counts no more.
local function gone_size(gate, now_ms)
  local counted, since_ms = gate.counted, now_ms - gate.limit.window_ms
  local size, gone = #counted, 0
  while gone < size and struct.unpack(TIME, counted, gone + 1) <= since_ms do gone = gone + TIME_SIZE end
  return gone
end

local function prune(gate, now_ms)
  local gone = gone_size(gate, now_ms)
  if gone > 0 then gate.counted = string.sub(gate.counted, gone + 1) end
end

-- Return when a window has ``cost`` places free, and when the bucket of a gate has.

local function window_at_ms(gate, now_ms, cost)
  prune(gate, now_ms)
  local missing = gate.in_flight + #gate.counted / TIME_SIZE + math.min(cost, gate.places) - gate.places
  if missing <= 0 then return now_ms end
  local at_ms = time_at(gate.counted, missing)
  return at_ms and at_ms + gate.limit.window_ms
end

local function bucket_at_ms(gate, drained_at, now_ms, cost)
  local capacity = math.min(gate.limit.burst, gate.places)
  return drained_by(drained_at, gate.count, gate.limit.window_ms, capacity, now_ms, cost)
end

-- Return when ``cost`` places are free: ``now_ms`` or later, nil until something is settled.
function gates.ready_at_ms(gate, now_ms, cost)
  if gate.counted then
    local free_at_ms = window_at_ms(gate, now_ms, cost)
    if not free_at_ms or not gate.drained_at then return free_at_ms end
    return math.max(free_at_ms, bucket_at_ms(gate, gate.drained_at, now_ms, cost))
  end
  local taken = gate.in_flight + math.min(cost, gate.places)
  if taken > gate.places then return nil end
  return bucket_at_ms(gate, gate.drained_at, now_ms, taken)
end

function gates.take(gate, at_ms, cost)
  gate.in_flight = gate.in_flight + cost
  if gate.counted and gate.drained_at then
    gate.drained_at = poured(gate.drained_at, gate.count, gate.limit.window_ms, at_ms, cost)
  end
end

function gates.settle(gate, counted_at_ms, cost, guard_ms)
  gate.in_flight = math.max(0, gate.in_flight - cost)
  if not counted_at_ms then return end
  local from_ms = counted_at_ms + 1 + guard_ms
  if gate.counted then
    gate.counted = with_counted(gate.counted, from_ms, math.min(cost, gate.limit.count))
  else
    gate.drained_at = poured(gate.drained_at, gate.count, gate.limit.window_ms, from_ms, cost)
  end
end

-- Give back places in flight of which nothing arrived at Telegram's end, though the call was made.
function gates.give_back(gate, cost)
  gates.settle(gate, nil, cost, 0)
  if gate.counted and gate.drained_at then gate.drained_at = gate.drained_at - cost * gate.limit.window_ms end
end

-- Spend so much of a bucket, but leave no more to drain than if it were all that was spent lately.
local function filled(gate, at_ms, cost)
  local capacity = math.max(math.min(gate.limit.burst, gate.places), cost)
  local drained_at = poured(gate.drained_at, gate.count, gate.limit.window_ms, at_ms, cost)
  return math.max(gate.drained_at, math.min(drained_at, at_ms * gate.count + capacity * gate.limit.window_ms))
end

-- Take the places of a call of the past, or of several that a clock which was ahead has written for later. Those count
-- as now, and however many they are, they fill a bucket at most.
function gates.note(gate, counted_at_ms, cost, now_ms)
  if counted_at_ms <= now_ms then
    gates.take(gate, counted_at_ms, cost)
    gates.settle(gate, counted_at_ms, cost, 0)
  elseif not gate.counted then
    gate.drained_at = filled(gate, now_ms + 1, cost)
  else
    if gate.drained_at then gate.drained_at = filled(gate, now_ms, cost) end
    gate.counted = with_counted(gate.counted, now_ms + 1, math.min(cost, gate.limit.count))
  end
end

-- Return from when on nothing that was settled counts any more.
function gates.idle_at_ms(gate)
  local idle_at_ms = gate.drained_at and ceil_div(gate.drained_at, gate.count) or 0
  local last = gate.counted and time_at(gate.counted, #gate.counted / TIME_SIZE)
  return last and math.max(idle_at_ms, last + gate.limit.window_ms) or idle_at_ms
end

function gates.is_near(gate, now_ms)
  if gate.counted then
    local taken = gate.in_flight + (#gate.counted - gone_size(gate, now_ms)) / TIME_SIZE
    return 100 * taken > constants.NEAR_PERCENT * gate.limit.count
  end
  local settled = math.max(0, gate.drained_at - now_ms * gate.count)
  local capacity, window_ms = gate.limit.burst, gate.limit.window_ms
  return 100 * (settled + gate.in_flight * window_ms) > constants.NEAR_PERCENT * capacity * window_ms
end

-- Return how many places are settled and still taken; nil where that is not known.
function gates.counted(gate, now_ms)
  return gate.counted and (#gate.counted - gone_size(gate, now_ms)) / TIME_SIZE or nil
end

-- Return when the last of so many may go one after another, if what is in flight counts from now.

local function window_earliest_ms(gate, now_ms, costs)
  local window_ms, places, sum = gate.limit.window_ms, gate.places, 0
  for _, cost in ipairs(costs) do sum = sum + math.min(cost, places) end
  local rounds = floor_div(sum - 1, places)
  local missing = #gate.counted / TIME_SIZE + gate.in_flight + (sum - 1 - rounds * places) + 1 - places
  local first_ms = now_ms
  if missing > 0 then first_ms = math.max(now_ms, (time_at(gate.counted, missing) or now_ms) + window_ms) end
  return first_ms + rounds * window_ms
end

local function bucket_earliest_ms(gate, now_ms, costs)
  local drained_at = gate.drained_at
  for place = 1, #costs - 1 do
    drained_at = poured(drained_at, gate.count, gate.limit.window_ms, now_ms, costs[place])
  end
  return bucket_at_ms(gate, drained_at, now_ms, costs[#costs])
end

function gates.earliest_ms(gate, now_ms, costs)
  if gate.counted then
    local at_ms = window_earliest_ms(gate, now_ms, costs)
    return gate.drained_at and math.max(at_ms, bucket_earliest_ms(gate, now_ms, costs)) or at_ms
  end
  local all = {}
  if gate.in_flight > 0 then all[1] = gate.in_flight end
  for _, cost in ipairs(costs) do all[#all + 1] = math.min(cost, gate.places) end
  return bucket_earliest_ms(gate, now_ms, all)
end

-- Return when both let so many through; nil until something is settled.
local function both_free_at_ms(gate, spacing, cost, now_ms)
  local free_at_ms = now_ms
  if gate then free_at_ms = gates.ready_at_ms(gate, now_ms, cost) end
  if not free_at_ms or not spacing then return free_at_ms end
  return math.max(free_at_ms, spacings.free_at_ms(spacing, now_ms, cost))
end

return
  gates, both_free_at_ms
end)()
