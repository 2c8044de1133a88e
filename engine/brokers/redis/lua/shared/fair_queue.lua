-- Whose turn it is.
--
-- TWIN  engine/limits/fair_queue.py
-- USES  numbers
--
-- Passes are doubles here, exact below 2^53: half a billion rounds of everything that waits. Beyond
-- that they are rounded by a millionth of a turn, and still nothing is passed over.

local STRIDE, LAG = constants.STRIDE, constants.LAG
local turns = {}

function turns.fresh()
  return {now = 0, last = 0, members = 0}
end

function turns.enter(among, last_pass, entry)
  among.members = among.members + 1
  return math.max(last_pass, among.now + entry)
end

function turns.leave(among)
  among.members = among.members - 1
  if among.members == 0 then among.now = among.last end
end

function turns.serve(among, its_pass, cost, weight)
  local start = math.max(its_pass, among.now - LAG)
  local after = start + floor_div(STRIDE * cost, weight)
  among.now = math.max(among.now, start)
  among.last = math.max(among.last, after)
  return after
end

function turns.rank(among, its_pass)
  return math.max(its_pass, among.now)
end
