-- A window of uses that weigh differently: what a bot pays, tokens of a model.
--
-- TWIN  engine/limits/weighted_window.py
-- USES  numbers
--
-- It is {count, window_ms, grain_ms, taken, spent}; ``spent`` is {end_ms, units, end_ms, units, ...}, oldest first.

local
  weighted_windows
= (function()

local weighted_windows = {}

-- Go on under another limit; what is used stays used.
function weighted_windows.reform(window, count, window_ms, grains)
  window.count, window.window_ms = count, window_ms
  window.grain_ms = math.max(1, floor_div(window_ms, grains))
end

-- Return how much is used, or in flight.
function weighted_windows.taken(window, now_ms)
  local spent, gone, since_ms = window.spent, 0, now_ms - window.window_ms
  while spent[gone + 1] and spent[gone + 1] <= since_ms do
    window.taken = window.taken - spent[gone + 2]
    gone = gone + 2
  end
  if gone > 0 then
    local kept = {}
    for place = gone + 1, #spent do kept[place - gone] = spent[place] end
    window.spent = kept
  end
  return window.taken
end

-- Return how much of what is used now will still count at a later time.
function weighted_windows.taken_at(window, at_ms)
  local taken, spent, place = window.taken, window.spent, 1
  while spent[place] and spent[place] <= at_ms - window.window_ms do
    taken, place = taken - spent[place + 1], place + 2
  end
  return taken
end

-- Return when so much is free: ``now_ms`` or later, nil if it never will be by itself.
function weighted_windows.free_at_ms(window, now_ms, cost)
  local missing = weighted_windows.taken(window, now_ms) + cost - window.count
  if missing <= 0 then return now_ms end
  local spent = window.spent
  for place = 1, #spent, 2 do
    missing = missing - spent[place + 1]
    if missing <= 0 then return spent[place] + window.window_ms end
  end
  return nil
end

local function end_ms(window, at_ms)
  return (floor_div(at_ms, window.grain_ms) + 1) * window.grain_ms
end

-- Return the place of the first grain that ends at a time or later; nearly always it is among the last.
local function place_of(spent, at_ms)
  local place = #spent + 1
  while place > 1 and spent[place - 2] >= at_ms do place = place - 2 end
  return place
end

-- Use so much, until ``settle`` says at what time.
function weighted_windows.take(window, cost)
  window.taken = window.taken + cost
end

-- Use so much at a time; the time may lie ahead.
function weighted_windows.spend(window, at_ms, cost)
  if cost <= 0 then return end
  local spent, until_ms = window.spent, end_ms(window, at_ms)
  local place = place_of(spent, until_ms)
  if spent[place] == until_ms then
    spent[place + 1] = spent[place + 1] + cost
  else
    table.insert(spent, place, cost)
    table.insert(spent, place, until_ms)
  end
  window.taken = window.taken + cost
end

-- Say when what was taken was used at the latest; nil gives it back.
function weighted_windows.settle(window, counted_at_ms, cost)
  window.taken = window.taken - cost
  if counted_at_ms then weighted_windows.spend(window, counted_at_ms, cost) end
end

-- Put a use to an earlier time, at which it turned out to be another; one that counts no more stays away.
function weighted_windows.move(window, from_ms, to_ms, cost, used)
  local spent, until_ms = window.spent, end_ms(window, from_ms)
  local place = place_of(spent, until_ms)
  if spent[place] ~= until_ms or spent[place + 1] < cost then return end
  spent[place + 1], window.taken = spent[place + 1] - cost, window.taken - cost
  if spent[place + 1] == 0 then
    table.remove(spent, place)
    table.remove(spent, place)
  end
  weighted_windows.spend(window, to_ms, used)
end

-- Forget what was used until a time.
function weighted_windows.clear(window, until_ms)
  weighted_windows.taken(window, end_ms(window, until_ms) + window.window_ms)
end

return
  weighted_windows
end)()
