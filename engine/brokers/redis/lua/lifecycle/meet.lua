-- Find the queue, or begin an empty one; and bar it if Redis is another than it was.
--
-- One script, because of two processes that find none only one may begin it. A Redis that was
-- started anew may have come back with an older state, in which what was sent since still
-- waits: so nothing is leased until it is rebuilt, and no lease given before is good any more.
--
-- KEYS
--   1 state  string  the queue as a whole
-- ARGV
--   1 now_ms ("": the time of Redis)  2 incarnation, if it begins now; a barred one was cleared for it
--   3 run_id of Redis  4 limits, a record, if it begins now
--   5 how it begins: "open" (it may lease at once), "barred" (until it is restored), "" (not at all)
--   6 the ledger to which it belongs ("-": to none)
--   7 the time of this process, by which the queue goes if it begins now and that of Redis is another; "": by Redis
-- RETURNS
--   {"done", {incarnation}}  go on
--   {"gone"}                 there is none, and it was not begun: rebuild it from the ledger; or another has cleared it
--   {"foreign"}              it belongs to another ledger
--   {"behind", seconds}      its clock was set back: rebuild it from the ledger
-- COST  O(1)
-- USES  keys fair_queue pools records state answer

local state_key = unpack(KEYS)
local given_ms, incarnation, run_id, limits_packed, begins, ledger, own_ms = unpack(ARGV)

local refused = open(state_key, string.format("%s - %s", given_ms, ledger))
if refused and refused[1] == "foreign" then return refused end
local is_mine = state and state.incarnation == tonumber(incarnation)
if begins == "barred" and not is_mine then return {"gone"} end
if refused then
  if begins == "" or (begins == "open" and state) then return refused end
  call("SET", string.sub(state_key, 1, -6) .. "limits", limits_packed)
  local groups = {}
  local ahead_ms = given_ms == "" and own_ms ~= "" and tonumber(own_ms) - time_ms() or 0
  if math.abs(ahead_ms) < constants.SET_BACK_MS then ahead_ms = 0 end
  if ahead_ms ~= 0 then call("SET", key.clock(), string.format("%.0f", ahead_ms)) end
  -- Of the last queue a sleeping worker may know the rings: those of this one begin beyond them.
  local first = given_ms == "" and time_ms() + ahead_ms or tonumber(given_ms)
  for index = 1, #constants.LINES do groups[index] = {turn = 0, lines = 0, turns = turns.fresh()} end
  call("SET", state_key, packed_state({
    incarnation = tonumber(incarnation), run_id = run_id, is_barred = begins == "barred", clock_ms = 0, number = 0,
    rings = first, answered = first, open = {0, 0, 0}, retry = 0, turns = turns.fresh(), groups = groups,
    ceiling = "", ceiling_spacing = "", counts = "", pool = pools.fresh(),
  }))
  open(state_key, given_ms)
end

if ledger ~= "-" then call("SET", key.ledger(), ledger) end

if state.run_id ~= run_id then
  state.run_id, state.is_barred, state.incarnation = run_id, true, tonumber(incarnation)
end
return answer(state_key, {state.incarnation})
