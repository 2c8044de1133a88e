-- The state of one limiter: what of its limit is used, and when the next call may begin.
--
-- TWIN  engine/services/meter.py, engine/limits/weighted_window.py; what processes agree on has none
-- USES  windows
--
-- A meter is kept as one array: see PLACES. ``uses`` is {free_at_ms, units, free_at_ms, units, ...}, the next first.

local
  meters
= (function()

local meters = {}

local COUNT, WINDOW_MS, BURST, APART_MS, CONCURRENCY = 1, 2, 3, 4, 5 -- of a limit; a burst of 0 is none

-- Return a limiter at which nothing is used.
function meters.fresh(limit, version, begins_at_ms)
  return {
    version = version, limit = limit, uses = {}, taken = 0, drained_at = 0, apart_at_ms = 0, began_at_ms = -1,
    quickest_ms = 0, quickest_of_last_ms = 0, answers = 0,
    held_until_ms = begins_at_ms, held_by = "", said_left = 0, said_until_ms = 0, said_wins = false, busy = 0,
    said_fell = 0, said_fell_before = 0,
    covered = 0, covered_until_ms = 0, wanted_at_ms = 0, is_restored = true,
    used_since_cover = 0, open_until_ms = 0, probes = 0,
  }
end

local function grain_ms(limit)
  if limit[COUNT] <= constants.GRAINS then return 1 end
  return math.max(1, floor_div(limit[WINDOW_MS], constants.GRAINS))
end

local function free_again_ms(limit, at_ms)
  local grain = grain_ms(limit)
  return (floor_div(at_ms, grain) + 1) * grain + limit[WINDOW_MS]
end

-- Forget what is free again, and return how much is used.
local function taken(meter, now_ms)
  local uses, gone = meter.uses, 0
  while uses[gone + 1] and uses[gone + 1] <= now_ms do
    meter.taken = meter.taken - uses[gone + 2]
    gone = gone + 2
  end
  if gone > 0 then
    local kept = {}
    for place = gone + 1, #uses do kept[place - gone] = uses[place] end
    meter.uses = kept
  end
  return meter.taken
end

local function window_at_ms(meter, now_ms, cost)
  local count = meter.limit[COUNT]
  local missing = taken(meter, now_ms) + math.min(cost, count) - count
  if missing <= 0 then return now_ms end
  local uses = meter.uses
  for place = 1, #uses, 2 do
    missing = missing - uses[place + 1]
    if missing <= 0 then return uses[place] end
  end
  return uses[#uses - 1]
end

-- Return the place of the first grain that is free again at a time or later.
local function place_of(uses, free_at_ms)
  local place = #uses + 1
  while place > 1 and uses[place - 2] >= free_at_ms do place = place - 2 end
  return place
end

local function use(meter, at_ms, cost)
  local free_at_ms, uses = free_again_ms(meter.limit, at_ms), meter.uses
  local place = place_of(uses, free_at_ms)
  if uses[place] == free_at_ms then
    uses[place + 1] = uses[place + 1] + cost
  else
    table.insert(uses, place, cost)
    table.insert(uses, place, free_at_ms)
  end
  meter.taken = meter.taken + cost
end

local function move(meter, from_ms, to_ms, cost, used)
  local free_at_ms, uses = free_again_ms(meter.limit, from_ms), meter.uses
  local place = place_of(uses, free_at_ms)
  if uses[place] ~= free_at_ms then return end
  uses[place + 1], meter.taken = uses[place + 1] - cost, meter.taken - cost
  if uses[place + 1] == 0 then
    table.remove(uses, place)
    table.remove(uses, place)
  end
  use(meter, to_ms, used)
end

-- A bucket besides the window, as ``spacings`` have it.
local function bucket_of(meter)
  local limit = meter.limit
  return {drained_at = meter.drained_at, count = limit[COUNT], window_ms = limit[WINDOW_MS], burst = limit[BURST]}
end

local function said_at_ms(meter, now_ms, cost)
  if now_ms < meter.said_until_ms then
    local left = meter.said_left - math.max(meter.said_fell, meter.said_fell_before) -- others may use as much again
    return left >= cost and now_ms or meter.said_until_ms
  end
  if meter.said_wins and meter.limit[COUNT] > 0 then taken(meter, free_again_ms(meter.limit, meter.said_until_ms)) end
  meter.said_until_ms = 0
  return now_ms
end

-- Return when a call of this cost may begin: ``now_ms`` or later, nil until another one ends.
function meters.ready_at_ms(meter, now_ms, cost)
  local limit = meter.limit
  if limit[CONCURRENCY] > 0 and meter.busy >= limit[CONCURRENCY] then return nil end
  if meter.probes > 0 and meter.busy >= meter.probes then return nil end
  local at_ms = math.max(now_ms, meter.held_until_ms, meter.apart_at_ms, meter.open_until_ms)
  if meter.said_until_ms > 0 then at_ms = math.max(at_ms, said_at_ms(meter, now_ms, cost)) end
  if limit[COUNT] == 0 then return at_ms end
  if not (meter.said_until_ms > 0 and meter.said_wins) then
    at_ms = math.max(at_ms, window_at_ms(meter, now_ms, cost))
  end
  if limit[BURST] > 0 then at_ms = math.max(at_ms, spacings.free_at_ms(bucket_of(meter), now_ms, cost)) end
  return at_ms
end

function meters.take(meter, now_ms, cost)
  local limit = meter.limit
  meter.busy = meter.busy + 1
  if limit[APART_MS] > 0 then
    meter.began_at_ms = now_ms
    local percent = meter.quickest_ms > 0 and constants.APART_GUARD_PERCENT or constants.APART_GUARD_PERCENT_AT_FIRST
    local guard_ms = floor_div(limit[APART_MS] * percent, 100)
    meter.apart_at_ms = now_ms + limit[APART_MS] + guard_ms
  end
  if limit[COUNT] > 0 then use(meter, now_ms + constants.COUNTED_WITHIN_MS, cost) end
  if limit[BURST] > 0 then
    local bucket = bucket_of(meter)
    spacings.spend(bucket, now_ms, cost)
    meter.drained_at = bucket.drained_at
  end
  if now_ms < meter.said_until_ms then meter.said_left = meter.said_left - cost end
  meter.covered = meter.covered - math.min(cost, meter.covered)
  meter.used_since_cover = meter.used_since_cover + cost
end

-- Say when the next may begin after an answer: what it took longer than others may have passed on the way.
local function space(meter, began_at_ms, now_ms)
  local took_ms = now_ms - began_at_ms
  meter.quickest_ms = math.min(meter.quickest_ms, took_ms)
  if meter.began_at_ms == began_at_ms then
    meter.apart_at_ms = began_at_ms + meter.limit[APART_MS] + took_ms - meter.quickest_ms + constants.ROUNDED_MS
  end
  meter.quickest_of_last_ms = meter.answers > 0 and math.min(meter.quickest_of_last_ms, took_ms) or took_ms
  meter.answers = meter.answers + 1
  if meter.answers == constants.QUICKEST_OF then
    meter.quickest_ms, meter.answers = meter.quickest_of_last_ms, 0
  end
end

function meters.settle(meter, began_at_ms, now_ms, cost, used)
  if meter.limit[APART_MS] > 0 and used > 0 then space(meter, began_at_ms, now_ms) end
  if meter.limit[COUNT] > 0 then
    local counted_at_ms = began_at_ms + constants.COUNTED_WITHIN_MS
    move(meter, counted_at_ms, math.min(now_ms, counted_at_ms), cost, math.min(cost, used))
    if used > cost then use(meter, now_ms, used - cost) end
  end
  if now_ms < meter.said_until_ms then meter.said_left = meter.said_left + cost - used end
end

function meters.release(meter)
  meter.busy = math.max(0, meter.busy - 1)
end

function meters.hold(meter, until_ms, by)
  if until_ms > meter.held_until_ms then meter.held_until_ms, meter.held_by = until_ms, by end
end

-- ``of`` 0: the service did not say what its limit is.
function meters.believe(meter, left, until_ms, of)
  left = math.max(0, left - meter.busy)
  meter.said_fell_before = meter.said_fell
  meter.said_fell = meter.said_until_ms > 0 and math.max(0, meter.said_left - left) or 0
  meter.said_left, meter.said_until_ms = left, until_ms
  meter.said_wins = meter.limit[COUNT] > 0 and of > 0 and of <= meter.limit[COUNT]
end

function meters.spend(meter, at_ms, cost)
  if meter.limit[COUNT] > 0 then use(meter, at_ms, cost) end
end

function meters.cover(meter, until_ms, units)
  meter.covered, meter.covered_until_ms, meter.used_since_cover = units, until_ms, 0
end

function meters.is_covered(meter, now_ms, cost)
  return now_ms < meter.covered_until_ms and meter.covered >= math.min(cost, meter.limit[COUNT])
end

-- Return from when on a fresh one would answer the same; nil while calls are under way.
function meters.idle_at_ms(meter)
  if meter.busy > 0 then return nil end
  local uses, limit = meter.uses, meter.limit
  if meter.probes > 0 then return nil end
  local at_ms = math.max(meter.held_until_ms, meter.apart_at_ms, meter.said_until_ms, meter.covered_until_ms)
  if limit[BURST] > 0 then at_ms = math.max(at_ms, floor_div(meter.drained_at, limit[COUNT]) + 1) end
  return math.max(at_ms, #uses > 0 and uses[#uses - 1] or 0)
end

-- Begin nothing before a time, as processes agree that the service fails; then so many at once, until one finds it well.
function meters.open(meter, until_ms, probes)
  meter.open_until_ms, meter.probes = math.max(meter.open_until_ms, until_ms), probes
end

function meters.close(meter)
  meter.open_until_ms, meter.probes = 0, 0
end

-- Go on under another limit; what is used stays used.
function meters.reform(meter, now_ms, limit, version)
  taken(meter, now_ms)
  local old, uses = meter.limit, meter.uses
  meter.limit, meter.version, meter.uses, meter.taken = limit, version, {}, 0
  if old[COUNT] > 0 and limit[COUNT] > 0 then
    for place = 1, #uses, 2 do use(meter, uses[place] - old[WINDOW_MS], uses[place + 1]) end
  end
  if old[BURST] > 0 and limit[BURST] > 0 then
    meter.drained_at = -floor_div(-meter.drained_at * limit[COUNT], old[COUNT])
  else
    meter.drained_at = 0
  end
end

-- Its record. A time has more digits than cmsgpack keeps of a double that is no integer, so all numbers stay integers.

local PLACES = {
  "version", "limit", "uses", "taken", "drained_at", "apart_at_ms", "began_at_ms", "held_until_ms", "held_by",
  "quickest_ms", "quickest_of_last_ms", "answers",
  "said_left", "said_until_ms", "said_fell", "said_fell_before", "said_wins", "busy",
  "covered", "covered_until_ms", "wanted_at_ms",
  "is_restored", "used_since_cover", "open_until_ms", "probes",
}

function meters.packed(meter)
  local record = {}
  for place, name in ipairs(PLACES) do record[place] = meter[name] end
  return cmsgpack.pack(record)
end

function meters.unpacked(raw)
  local record, meter = cmsgpack.unpack(raw), {}
  for place, name in ipairs(PLACES) do meter[name] = record[place] end
  return meter
end

return
  meters
end)()
