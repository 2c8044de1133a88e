-- Whole numbers, exact beyond the digits of a double, and the earlier of two times.
--
-- TWIN  none: whole numbers of Python are exact
--
-- Divisions go through fmod, which is exact: a quotient of two doubles is not.

local
  floor_div, ceil_div, scaled, sooner
= (function()

local function floor_div(a, b)
  local rest = math.fmod(a, b)
  if rest < 0 then rest = rest + b end
  return (a - rest) / b
end

local function ceil_div(a, b)
  return -floor_div(-a, b)
end

-- ceil(a * by / b), where the product may have more digits than a double.
local function scaled(a, by, b)
  local whole = floor_div(a, b)
  return whole * by + ceil_div((a - whole * b) * by, b)
end

local function sooner(at_ms, other_ms)
  if at_ms and other_ms then return math.min(at_ms, other_ms) end
  return at_ms or other_ms
end

return
  floor_div, ceil_div, scaled, sooner
end)()
