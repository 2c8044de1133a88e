-- The state of one limiter: what of its limit is used, and when the next call may begin.
--
-- TWIN  engine/services/meter.py; what processes agree on has none
-- USES  numbers spacing weighted_window
--
-- A meter is kept as one array: see PLACES.

local
  meters
= (function()

local meters = {}

local COUNT, WINDOW_MS, BURST, APART_MS, CONCURRENCY = 1, 2, 3, 4, 5 -- of a limit; a burst of 0 is none

-- Have its window and its bucket follow the limit.
local function shape(meter, spent, taken, drained_at)
  local limit = meter.limit
  if limit[COUNT] == 0 then return end
  meter.window = {spent = spent, taken = taken}
  local grains = limit[COUNT] <= constants.GRAINS and limit[WINDOW_MS] or constants.GRAINS
  weighted_windows.reform(meter.window, limit[COUNT], limit[WINDOW_MS], grains)
  if limit[BURST] == 0 then return end
  meter.bucket = {drained_at = drained_at, count = limit[COUNT], window_ms = limit[WINDOW_MS], burst = limit[BURST]}
end

-- Return a limiter at which nothing is used.
function meters.fresh(limit, version, begins_at_ms)
  local meter = {
    version = version, limit = limit, apart_at_ms = 0, began_at_ms = -1,
    quickest_ms = 0, quickest_of_last_ms = 0, answers = 0,
    held_until_ms = begins_at_ms, held_by = "", said_left = 0, said_until_ms = 0, said_wins = false, busy = 0,
    said_fell = 0, said_fell_before = 0,
    covered = 0, covered_until_ms = 0, wanted_at_ms = 0,
    is_restored = true, used_since_cover = 0, open_until_ms = 0, probes = 0, waiting = 0, since_ms = -1,
  }
  shape(meter, {}, 0, 0)
  return meter
end

local function said_at_ms(meter, now_ms, cost)
  if now_ms < meter.said_until_ms then
    local left = meter.said_left - math.max(meter.said_fell, meter.said_fell_before) -- others may use as much again
    return left >= cost and now_ms or meter.said_until_ms
  end
  if meter.said_wins and meter.window then weighted_windows.clear(meter.window, meter.said_until_ms) end
  meter.said_until_ms = 0
  return now_ms
end

-- Tell whether only probes begin. If they tell nothing, as their processes ended, this ends by itself.
local function is_probed(meter, now_ms)
  return meter.probes > 0 and now_ms < meter.open_until_ms + constants.PROBED_MS
end

-- Return when a call of this cost may begin: ``now_ms`` or later, nil until another one ends.
function meters.ready_at_ms(meter, now_ms, cost)
  local limit = meter.limit
  if limit[CONCURRENCY] > 0 and meter.busy >= limit[CONCURRENCY] then return nil end
  if is_probed(meter, now_ms) and meter.busy >= meter.probes then return nil end
  local at_ms = math.max(now_ms, meter.held_until_ms, meter.apart_at_ms, meter.open_until_ms)
  if meter.said_until_ms > 0 then at_ms = math.max(at_ms, said_at_ms(meter, now_ms, cost)) end
  if meter.window and not (meter.said_until_ms > 0 and meter.said_wins) then
    local free_at_ms = weighted_windows.free_at_ms(meter.window, now_ms, math.min(cost, limit[COUNT]))
    if not free_at_ms then return nil end
    at_ms = math.max(at_ms, free_at_ms)
  end
  if meter.bucket then at_ms = math.max(at_ms, spacings.free_at_ms(meter.bucket, now_ms, cost)) end
  return at_ms
end

function meters.take(meter, now_ms, cost)
  local limit = meter.limit
  if limit[APART_MS] > 0 and meters.is_forgotten(meter, now_ms) then meter.quickest_ms, meter.answers = 0, 0 end
  meter.busy = meter.busy + 1
  if limit[APART_MS] > 0 then
    meter.began_at_ms = now_ms
    local percent = meter.quickest_ms > 0 and constants.APART_GUARD_PERCENT or constants.APART_GUARD_PERCENT_AT_FIRST
    local guard_ms = floor_div(limit[APART_MS] * percent, 100)
    meter.apart_at_ms = now_ms + limit[APART_MS] + guard_ms
  end
  if meter.window then weighted_windows.spend(meter.window, now_ms + constants.COUNTED_WITHIN_MS, cost) end
  if meter.bucket then spacings.spend(meter.bucket, now_ms, cost) end
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
  local window = meter.window
  if window then
    local counted_at_ms = began_at_ms + constants.COUNTED_WITHIN_MS
    if began_at_ms > meter.since_ms then
      weighted_windows.move(window, counted_at_ms, math.min(now_ms, counted_at_ms), cost, math.min(cost, used))
    end
    if used > cost then weighted_windows.spend(window, now_ms, used - cost) end
  end
  if now_ms < meter.said_until_ms then meter.said_left = meter.said_left + cost - used end
end

function meters.release(meter)
  meter.busy = math.max(0, meter.busy - 1)
end

function meters.hold(meter, until_ms, by)
  if until_ms > meter.held_until_ms then meter.held_until_ms, meter.held_by = until_ms, by end
end

-- End a hold, and what the service said of what is left; but hold until a time, 0 for none.
function meters.release_hold(meter, until_ms)
  meter.held_until_ms, meter.held_by = until_ms, ""
  meter.said_left, meter.said_until_ms, meter.said_wins = 0, 0, false
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
  if meter.window then weighted_windows.spend(meter.window, at_ms, cost) end
end

function meters.cover(meter, until_ms, units)
  meter.covered, meter.covered_until_ms, meter.used_since_cover = units, until_ms, 0
end

-- Return how many of the units that are wanted may be used until a time: more would count after a restart.
function meters.to_cover(meter, until_ms, wanted)
  local room = meter.limit[COUNT]
  if meter.window and not (meter.said_until_ms > 0 and meter.said_wins) then
    room = room - weighted_windows.taken_at(meter.window, until_ms)
  end
  return math.max(1, math.min(wanted, room))
end

function meters.is_covered(meter, now_ms, cost)
  return now_ms < meter.covered_until_ms and meter.covered >= math.min(cost, meter.limit[COUNT])
end

-- Return from when on a fresh one would answer the same; nil while calls are under way.
function meters.idle_at_ms(meter)
  if meter.busy > 0 then return nil end
  local at_ms = math.max(meter.held_until_ms, meter.apart_at_ms, meter.said_until_ms, meter.covered_until_ms)
  if meter.probes > 0 then at_ms = math.max(at_ms, meter.open_until_ms + constants.PROBED_MS) end
  local window, bucket = meter.window, meter.bucket
  if bucket then at_ms = math.max(at_ms, floor_div(bucket.drained_at, bucket.count) + 1) end
  local last_ms = window and window.spent[#window.spent - 1]
  return last_ms and math.max(at_ms, last_ms + window.window_ms) or at_ms
end

-- Return how many units may be used now, be it not at once; nil: any number.
function meters.left(meter, now_ms)
  if meter.said_until_ms > 0 then said_at_ms(meter, now_ms, 0) end
  local window, bucket, is_said, left = meter.window, meter.bucket, now_ms < meter.said_until_ms, math.huge
  if is_said then left = meter.said_left end
  if window and not (is_said and meter.said_wins) then
    left = math.min(left, window.count - weighted_windows.taken(window, now_ms))
  end
  if bucket then left = math.min(left, spacings.room(bucket, now_ms)) end
  return left < math.huge and math.max(0, left) or nil
end

-- Tell whether nothing has been used for so long that a fresh one may take its place.
function meters.is_forgotten(meter, now_ms)
  local at_ms = meters.idle_at_ms(meter)
  return at_ms and at_ms + constants.FORGOTTEN_AFTER_MS <= now_ms
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
  local window, bucket = meter.window, meter.bucket
  if window then weighted_windows.taken(window, now_ms) end -- a longer window must not find again what was free
  meter.limit, meter.version, meter.window, meter.bucket = limit, version, nil, nil
  if not window or limit[COUNT] == 0 then meter.since_ms = now_ms end
  shape(
    meter, window and window.spent or {}, window and window.taken or 0,
    bucket and scaled(bucket.drained_at, limit[COUNT], bucket.count) or 0
  )
end

-- Its record. A time has more digits than cmsgpack keeps of a double that is no integer, so all numbers stay integers.

local PLACES = {
  "version", "limit", "apart_at_ms", "began_at_ms", "held_until_ms", "held_by", "said_left",
  "quickest_ms", "quickest_of_last_ms", "answers", "said_fell", "said_fell_before",
  "said_until_ms", "said_wins", "busy", "covered", "covered_until_ms", "wanted_at_ms", "is_restored",
  "used_since_cover", "open_until_ms", "probes", "waiting", "since_ms",
}
local SPENT, TAKEN, DRAINED_AT = #PLACES + 1, #PLACES + 2, #PLACES + 3

function meters.packed(meter)
  local record, window, bucket = {}, meter.window, meter.bucket
  for place, name in ipairs(PLACES) do record[place] = meter[name] end
  if window then record[SPENT], record[TAKEN] = window.spent, window.taken end
  if bucket then record[DRAINED_AT] = bucket.drained_at end
  return cmsgpack.pack(record)
end

function meters.unpacked(raw)
  local record, meter = cmsgpack.unpack(raw), {}
  for place, name in ipairs(PLACES) do meter[name] = record[place] end
  shape(meter, record[SPENT], record[TAKEN], record[DRAINED_AT])
  return meter
end

return
  meters
end)()
