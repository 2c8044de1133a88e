-- Hand over what a process has to say of its calls, and return which of them may begin.
--
-- One script, because between looking at the limiters of a call and taking its places no other process may take them.
--
-- KEYS
--   1 state  string  the queue as a whole
-- ARGV
--   1 given_ms  2 process  3 known  4 fresh  5 keeps_uses  6 has_calls  7 said
--   ``given_ms`` "" takes the time of Redis; a test gives its own. ``known`` is the incarnation that the process knows,
--   and ``fresh`` that of the queue if there is none. ``has_calls`` "1": it has said calls that are not over.
--   ``said`` is a msgpack list of
--   {"ask", id, priority, charges}      a charge is {cost, name, version, limit}
--   {"running", id, priority, charges}  of a call that began before Redis was emptied
--   {"end", id, used}                   used at each limiter, or false: what was thought
--   {"change", limiter}                 of which a newer version holds
--   {"hold", limiter, until_ms, by}     a limiter is {name, version, limit}; until_ms 0 ends a hold
--   {"believe", limiter, left, until_ms, of}
--   {"fails", limiter, until_ms, probes}  the process does not call it before; two that say so are believed
--   {"well", limiter}                   it does again
--   {"cover", name, units}  {"restore", name, {{at_ms, units}, ...}}
--   and a limit is {count, window_ms, burst, apart_ms, concurrency}, 0 where it has none.
-- RETURNS
--   {"new", incarnation}  nothing was heard; say first which calls are running, and ask for the others again
--   {"forgotten"}         nothing was heard; its calls have lost their places, and must be asked for again
--   {"ok", now_ms, begun, next_ms, wants, failing}  ids; when to come again, -1: not by time; {name, units, window_ms, ...}
--                         to be covered, units -1: to be restored; {name, until_ms, ...} that processes agree on
-- COST  O(log n) in what waits, for each that is said
-- USES  call_queue

local state_key = unpack(KEYS)
local given_ms, process, known, fresh, keeps_uses, has_calls, said = unpack(ARGV)

local incarnation, now_ms = open(state_key, given_ms, fresh, keeps_uses, known ~= "")
if incarnation ~= known then
  save(state_key, process)
  return {"new", incarnation}
end
if is_forgotten(process, has_calls == "1") then
  redis.call("ZREM", key("processes"), process)
  save(state_key, process)
  return {"forgotten"}
end

local function charges_of(words)
  local charges = {}
  for place, charge in ipairs(words) do
    local cost, name, version, limit = unpack(charge)
    charges[place] = {name, cost, version, limit}
  end
  return charges
end

local hear = {}

function hear.ask(call_id, priority, charges)
  ask({id = call_id, process = process, priority = priority, charges = charges_of(charges), stands_at = ""})
end

function hear.running(call_id, priority, charges)
  go_on({id = call_id, process = process, priority = priority, charges = charges_of(charges), stands_at = ""})
end

hear["end"] = function(call_id, used)
  finish(call_id, used or nil, false)
end

function hear.change(limiter)
  if gate_of(limiter[1]).meter then gate_of(unpack(limiter)) end
end

function hear.hold(limiter, until_ms, by)
  if until_ms == 0 then
    release_hold(gate_of(limiter[1]))
  else
    meters.hold(gate_of(unpack(limiter)).meter, until_ms, by)
  end
end

function hear.believe(limiter, left, until_ms, of)
  if until_ms <= now_ms then return end -- the window that it is of is over
  local gate = gate_of(unpack(limiter))
  meters.believe(gate.meter, left, until_ms, of)
  serve(gate)
end

function hear.fails(limiter, until_ms, probes)
  local gate = gate_of(unpack(limiter))
  local votes = key("fails", gate.name)
  redis.call("ZADD", votes, until_ms, process)
  redis.call("ZREMRANGEBYSCORE", votes, "-inf", now_ms)
  local last_ms = tonumber(redis.call("ZRANGE", votes, -1, -1, "WITHSCORES")[2] or now_ms)
  redis.call("PEXPIRE", votes, math.max(1, last_ms - now_ms)) -- an earlier vote may hold for longer
  if redis.call("ZCARD", votes) < constants.AGREEING then return end
  meters.open(gate.meter, until_ms, probes)
  redis.call("ZADD", key("failing"), until_ms, gate.name)
  state.failing_until_ms = math.max(state.failing_until_ms, until_ms)
end

function hear.well(limiter)
  local gate = gate_of(unpack(limiter))
  meters.close(gate.meter)
  redis.call("DEL", key("fails", gate.name))
  redis.call("ZREM", key("failing"), gate.name)
  serve(gate)
end

function hear.cover(name, units)
  local gate = gate_of(name)
  if not gate.meter then return end
  meters.cover(gate.meter, now_ms + constants.COVER_MS, units)
  serve(gate)
end

function hear.look() end

function hear.restore(name, uses)
  local gate = gate_of(name)
  if not gate.meter or gate.meter.is_restored then return end
  for _, use in ipairs(uses) do meters.spend(gate.meter, math.min(use[1], now_ms), use[2]) end
  gate.meter.is_restored, gate.meter.wanted_at_ms = true, 0
  serve(gate)
end

redis.call("ZADD", key("processes"), now_ms + constants.LEASE_MS, process)
for _, words in ipairs(cmsgpack.unpack(said)) do hear[words[1]](unpack(words, 2)) end
forget()
serve_due()
local asked = wants() -- before the next look: what is not wanted yet is looked at later
return {"ok", now_ms, save(state_key, process), next_look_ms(), asked, failing()}
