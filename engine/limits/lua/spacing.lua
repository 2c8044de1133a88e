-- What drains at a rate: a burst at once, then one after another.
--
-- TWIN  engine/limits/spacing.py
-- USES  numbers

local
  drained_by, poured, spacings
= (function()

-- The time of a spacing, and of a bucket.

local function drained_by(drained_at, count, window_ms, capacity, now_ms, cost)
  local spare = cost < capacity and capacity - cost or 0
  return math.max(now_ms, ceil_div(drained_at - spare * window_ms, count))
end

local function poured(drained_at, count, window_ms, at_ms, cost)
  return math.max(drained_at, at_ms * count) + cost * window_ms
end

-- A spacing is {drained_at, count, window_ms, burst}; its count is lower while its bot's limit is.

local spacings = {}
local PACKED_SPACING = "<dd"

function spacings.unpacked(packed, limit, saved_up)
  if limit.count == 0 then return nil end
  local at_once = math.max(saved_up, floor_div(limit.count * constants.LATE_MS, limit.window_ms))
  local burst = math.min(at_once, limit.count)
  local drained_at, count = 0, limit.count
  if packed and packed ~= "" then drained_at, count = struct.unpack(PACKED_SPACING, packed) end
  return {drained_at = drained_at, count = count, window_ms = limit.window_ms, burst = burst}
end

function spacings.packed(spacing)
  return spacing and struct.pack(PACKED_SPACING, spacing.drained_at, spacing.count) or ""
end

local function capacity_of(spacing)
  return math.min(spacing.burst, spacing.count)
end

function spacings.free_at_ms(spacing, now_ms, cost)
  return drained_by(spacing.drained_at, spacing.count, spacing.window_ms, capacity_of(spacing), now_ms, cost)
end

-- Return how many fit at once.
function spacings.room(spacing, now_ms)
  local owed = math.max(0, spacing.drained_at - now_ms * spacing.count)
  return capacity_of(spacing) + floor_div(-owed, spacing.window_ms)
end

function spacings.spend(spacing, now_ms, cost)
  spacing.drained_at = poured(spacing.drained_at, spacing.count, spacing.window_ms, now_ms, cost)
end

-- Take back what was poured, as if it had never been.
function spacings.unspend(spacing, cost)
  spacing.drained_at = spacing.drained_at - cost * spacing.window_ms
end

function spacings.earliest_ms(spacing, now_ms, costs)
  local later = {
    drained_at = spacing.drained_at, count = spacing.count, window_ms = spacing.window_ms, burst = spacing.burst,
  }
  for place = 1, #costs - 1 do spacings.spend(later, now_ms, costs[place]) end
  return spacings.free_at_ms(later, now_ms, costs[#costs])
end

-- Go on with another count a window; what is spent drains at the new rate, and no sooner.
function spacings.narrow(spacing, places, now_ms)
  local owed = math.max(0, spacing.drained_at - now_ms * spacing.count)
  spacing.drained_at = math.max(scaled(spacing.drained_at, places, spacing.count), now_ms * places + owed)
  spacing.count = places
end

return
  drained_by, poured, spacings
end)()
