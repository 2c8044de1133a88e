-- The queue of calls of all processes: who may call now, and who waits for which limiter.
--
-- TWIN  engine/services/memory_queue.py
-- USES  meters
--
-- A call is {id, process, priority, arrival, began_at_ms, stands_at, charges}, and a charge {name, cost, version, limit}:
-- a limiter at which nothing is used is forgotten, though calls wait that will pass it. Those that
-- wait for a limiter stand in a ZSET, whose score is made of priority and arrival; its meter knows how many they are,
-- and ``state`` from when on something is due, so that an exchange in which nothing waits asks for nothing of all that.

local call = redis.call
local prefix, state, now_ms
local gates, calls = {}, {} -- those of this exchange
local begun = {} -- ids of calls that may begin, by process
local wanted = {} -- limiters that wait for the database

local
  open, save, gate_of, ask, go_on, wants, finish, forget, is_forgotten, serve, serve_due, next_look_ms, failing, key,
  release_hold
= (function()

local serve -- below, as limiters, calls and turns need one another

local ARRIVALS = 2 ^ 44 -- more than ever come while one waits

local function key(kind, name)
  return prefix .. kind .. (name and ":" .. name or "")
end

local function call_of(call_id)
  local known = calls[call_id]
  if known == nil then
    local raw = call("HGET", key("calls"), call_id)
    known = raw and cmsgpack.unpack(raw) or false
    if known then known.id = call_id end
    calls[call_id] = known
  end
  return known
end

local function score_of(waiting)
  return waiting.priority * ARRIVALS + waiting.arrival
end

local function is_kept_limit(limit)
  return state.keeps_uses and limit[2] > constants.KEPT_FROM_MS
end

-- Return when the first call may begin at a limiter of which nothing is known. What was under way as Redis was emptied
-- may have been counted after that.
local function begins_at_ms(limit, is_kept)
  local unknown_ms = is_kept and 0 or math.max(limit[2], limit[4]) + state.unheard_ms
  if limit[5] > 0 then unknown_ms = math.max(unknown_ms, constants.RECLAIM_MS) end
  return state.started_at_ms + unknown_ms
end

local function read_gate(name, raw)
  local gate = {name = name, meter = raw and meters.unpacked(raw)}
  gates[name] = gate
  return gate
end

-- Read those limiters of a call that are not known yet.
local function read_gates(charges)
  local names, keys = {}, {}
  for _, charge in ipairs(charges) do
    if not gates[charge[1]] then
      names[#names + 1], keys[#keys + 1] = charge[1], key("meter", charge[1])
    end
  end
  if #keys == 0 then return end
  for place, raw in ipairs(call("MGET", unpack(keys))) do read_gate(names[place], raw) end
end

-- Return the newest limit that was said of a limiter, though it was forgotten meanwhile: a call that waits elsewhere may
-- bring an older one.
local function newest(name, version, limit)
  local raw = call("GET", key("limit", name))
  local known = raw and cmsgpack.unpack(raw)
  if known and known[1] > version then return known[1], known[2] end
  return version, limit
end

-- A gate is a limiter with those that wait for it; ``limit`` and ``version`` may be left out for one that is known.
local function gate_of(name, version, limit)
  local gate = gates[name] or read_gate(name, call("GET", key("meter", name)))
  if not gate.meter and limit then
    version, limit = newest(name, version, limit)
    local is_kept = is_kept_limit(limit)
    gate.is_changed = version > 1
    gate.meter = meters.fresh(limit, version, begins_at_ms(limit, is_kept))
    gate.meter.is_restored = not is_kept
    gate.meter.waiting = call("ZCARD", key("waiting", name))
  elseif limit and gate.meter.version < version then
    meters.reform(gate.meter, now_ms, limit, version)
    gate.is_changed = true
    serve(gate)
  end
  return gate
end

local function gate_at(charge)
  return gate_of(charge[1], charge[3], charge[4])
end

local function stand(gate, waiting)
  waiting.stands_at, waiting.is_changed = gate.name, true
  gate.meter.waiting = gate.meter.waiting + call("ZADD", key("waiting", gate.name), score_of(waiting), waiting.id)
end

local function leave(gate, call_id)
  local gone = call("ZREM", key("waiting", gate.name), call_id)
  if gate.meter then gate.meter.waiting = gate.meter.waiting - gone end
end

-- Return the first that waits for a limiter, and its score.
local function head_of(gate)
  while not gate.meter or gate.meter.waiting > 0 do
    local first = call("ZRANGE", key("waiting", gate.name), 0, 0, "WITHSCORES")
    if not first[1] then return nil end
    local head = call_of(first[1])
    if head and head.stands_at == gate.name then return head, tonumber(first[2]) end
    leave(gate, first[1])
  end
end

-- End a hold, and the service's own word; what holds since the start stays.
local function release_hold(gate)
  local meter = gate.meter
  if not meter then return end
  meters.release_hold(meter, begins_at_ms(meter.limit, is_kept_limit(meter.limit)))
  serve(gate)
end

local function look_at(gate, at_ms)
  call("ZADD", key("looks"), "LT", at_ms, gate.name)
  if state.looks_at_ms < 0 or at_ms < state.looks_at_ms then state.looks_at_ms = at_ms end
end

-- Return the earliest time in a ZSET of times.
local function first_ms(name)
  return tonumber(call("ZRANGE", key(name), 0, 0, "WITHSCORES")[2])
end

local function lets_through(gate, cost)
  local meter = gate.meter
  local at_ms = meters.ready_at_ms(meter, now_ms, cost)
  if not at_ms then return false end
  if at_ms > now_ms then
    look_at(gate, at_ms)
    return false
  end
  if is_kept_limit(meter.limit) and not (meter.is_restored and meters.is_covered(meter, now_ms, cost)) then
    wanted[gate.name] = true
    return false
  end
  return true
end

-- Begin a call, or put it where it must wait.
local function try(waiting)
  read_gates(waiting.charges)
  for _, charge in ipairs(waiting.charges) do gate_at(charge) end -- first: a new limit may let others begin
  for _, charge in ipairs(waiting.charges) do
    local gate = gate_at(charge)
    local _, first = head_of(gate)
    if (first and first < score_of(waiting)) or not lets_through(gate, charge[2]) then
      stand(gate, waiting)
      return false
    end
  end
  waiting.stands_at, waiting.began_at_ms, waiting.is_changed = "", now_ms, true
  for _, charge in ipairs(waiting.charges) do meters.take(gate_at(charge).meter, now_ms, charge[2]) end
  return true
end

local function charge_at(waiting, name)
  for _, charge in ipairs(waiting.charges) do
    if charge[1] == name then return charge end
  end
end

local function cost_at(waiting, name)
  return charge_at(waiting, name)[2]
end

local function tell(waiting)
  local ids = begun[waiting.process] or {}
  ids[#ids + 1] = waiting.id
  begun[waiting.process] = ids
end

-- Let begin what may at a limiter.
function serve(gate)
  for _ = 1, constants.BEGUN_MAX do
    local head = head_of(gate)
    if head and not gate.meter then gate_at(charge_at(head, gate.name)) end
    if not head or not lets_through(gate, cost_at(head, gate.name)) then return end
    leave(gate, head.id)
    if try(head) then tell(head) end
  end
  look_at(gate, now_ms) -- the next exchange goes on
end

-- A call that is known already was asked for in an exchange whose answer its process did not get.
local function ask(waiting)
  local known = call_of(waiting.id)
  if known then
    if known.began_at_ms >= 0 then tell(known) end
    return
  end
  state.arrivals = state.arrivals + 1
  waiting.arrival, waiting.began_at_ms, calls[waiting.id] = state.arrivals, -1, waiting
  waiting.asked_at_ms = now_ms
  call("SADD", key("of", waiting.process), waiting.id)
  if try(waiting) then tell(waiting) end
end

-- Take note of a call that began before Redis was emptied.
local function go_on(running)
  if call_of(running.id) then return end
  running.arrival, running.began_at_ms, running.is_changed = 0, now_ms, true
  calls[running.id] = running
  call("SADD", key("of", running.process), running.id)
  for _, charge in ipairs(running.charges) do meters.take(gate_at(charge).meter, now_ms, charge[2]) end
end

-- Return the limiters that wait for the database, also those of other processes: how many units are to be covered, or
-- -1: its uses are to be restored; and its window.
local function wants()
  local asked = {}
  for name in pairs(wanted) do
    local meter = gate_of(name).meter
    if now_ms >= meter.wanted_at_ms + constants.COVER_MS then
      meter.wanted_at_ms = now_ms
      look_at(gate_of(name), now_ms + constants.COVER_MS) -- the database may refuse
      local units = meter.is_restored and meter.used_since_cover or -1
      if meter.is_restored then
        for _, call_id in ipairs(call("ZRANGE", key("waiting", name), 0, constants.BEGUN_MAX)) do
          local waiting = call_of(call_id)
          if waiting and waiting.stands_at == name then units = units + cost_at(waiting, name) end
        end
        units = meters.to_cover(meter, now_ms + constants.COVER_MS + constants.COUNTED_WITHIN_MS, units)
      end
      asked[#asked + 1], asked[#asked + 2], asked[#asked + 3] = name, units, meter.limit[2]
    else
      look_at(gate_of(name), meter.wanted_at_ms + constants.COVER_MS)
    end
  end
  return asked
end

local function remove(gone)
  calls[gone.id] = false
  call("HDEL", key("calls"), gone.id)
  call("SREM", key("of", gone.process), gone.id)
end

-- End a call: one that waits is withdrawn. ``used`` nil: it cost what was thought; ``is_lost``: what it cost is not known.
local function finish(call_id, used, is_lost)
  local over = call_of(call_id)
  if not over then return end
  remove(over)
  if over.began_at_ms < 0 then
    local gate = gate_of(over.stands_at)
    leave(gate, call_id)
    serve(gate)
    return
  end
  read_gates(over.charges)
  for place, charge in ipairs(over.charges) do
    local meter = gate_at(charge).meter
    if not is_lost then meters.settle(meter, over.began_at_ms, now_ms, charge[2], used and used[place] or charge[2]) end
    meters.release(meter)
  end
  for _, charge in ipairs(over.charges) do serve(gate_at(charge)) end
end

-- Forget some calls of a process, and return whether there were any.
local function forget_some(process)
  local ids = call("SRANDMEMBER", key("of", process), constants.BEGUN_MAX)
  for _, call_id in ipairs(ids) do finish(call_id, nil, true) end
  return #ids > 0
end

-- Tell whether the calls of a process were forgotten, or are now, as it was not heard of for too long.
local function is_forgotten(process, has_calls)
  local until_ms = call("ZSCORE", key("processes"), process)
  if until_ms and tonumber(until_ms) > now_ms then return false end
  return forget_some(process) or has_calls
end

-- Forget the calls of processes that have not been heard of for too long: their places come back.
local function forget()
  if now_ms < state.forgets_at_ms then return end
  for _, process in ipairs(call("ZRANGEBYSCORE", key("processes"), "-inf", now_ms, "LIMIT", 0, 5)) do
    if not forget_some(process) then call("ZREM", key("processes"), process) end
  end
  state.forgets_at_ms = first_ms("processes") or now_ms + constants.LEASE_MS
end

-- Return the limiters of which processes agree that they fail, and until when they are not called.
local function failing()
  if now_ms >= state.failing_until_ms then return {} end
  call("ZREMRANGEBYSCORE", key("failing"), "-inf", now_ms)
  return call("ZRANGE", key("failing"), 0, constants.BEGUN_MAX, "WITHSCORES")
end

-- Serve the limiters whose time has come.
local function serve_due()
  if state.looks_at_ms < 0 or now_ms < state.looks_at_ms then return end
  for _, name in ipairs(call("ZRANGEBYSCORE", key("looks"), "-inf", now_ms, "LIMIT", 0, constants.BEGUN_MAX)) do
    call("ZREM", key("looks"), name)
    local gate = gate_of(name)
    serve(gate)
  end
  state.looks_at_ms = first_ms("looks") or -1
end

-- Return when a process is to come again; -1: not by time.
local function next_look_ms()
  return state.looks_at_ms
end

-- Begin an exchange, and the queue if there is none. Return its incarnation: to another one than is known to a process
-- its calls are unknown, and it must say them anew. ``was_there``: if there is none, Redis was emptied. The time of the
-- queue never steps back: when the clock of Redis is set back, it goes on from where it was.
local function open(state_key, given_ms, fresh, keeps_uses, was_there)
  prefix = string.sub(state_key, 1, -6)
  local time = call("TIME")
  now_ms = given_ms == "" and tonumber(time[1]) * 1000 + floor_div(tonumber(time[2]), 1000) or tonumber(given_ms)
  local raw = call("GET", state_key)
  state = {
    incarnation = fresh, arrivals = 0, started_at_ms = now_ms, keeps_uses = keeps_uses == "1",
    looks_at_ms = -1, forgets_at_ms = 0, failing_until_ms = 0,
    unheard_ms = was_there and constants.COUNTED_WITHIN_MS or 0, later_ms = 0,
  }
  if raw then
    local last_ms
    state.incarnation, last_ms, state.arrivals, state.started_at_ms, state.keeps_uses, state.looks_at_ms,
      state.forgets_at_ms, state.failing_until_ms, state.unheard_ms, state.later_ms = unpack(cmsgpack.unpack(raw))
    now_ms = now_ms + state.later_ms
    if now_ms < last_ms - constants.SET_BACK_MS then state.later_ms = state.later_ms + last_ms - now_ms end
    now_ms = math.max(now_ms, last_ms)
  end
  return state.incarnation, now_ms
end

local function save_gate(gate)
  if gate.is_changed then
    local limit = cmsgpack.pack({gate.meter.version, gate.meter.limit})
    call("SET", key("limit", gate.name), limit, "PX", constants.LIMIT_KEPT_MS)
  end
  local at_ms = meters.idle_at_ms(gate.meter)
  if meters.is_forgotten(gate.meter, now_ms) and not head_of(gate) then
    call("DEL", key("meter", gate.name))
  elseif at_ms and not head_of(gate) then
    local lasts_ms = math.max(at_ms - now_ms, 0) + constants.FORGOTTEN_AFTER_MS
    call("SET", key("meter", gate.name), meters.packed(gate.meter), "PX", lasts_ms)
  else
    call("SET", key("meter", gate.name), meters.packed(gate.meter))
  end
end

-- Write what has changed, and hand the ids of calls that began to their processes; return those of one.
local function save(state_key, process)
  for _, gate in pairs(gates) do
    if gate.meter then save_gate(gate) end
  end
  for call_id, changed in pairs(calls) do
    if changed and changed.is_changed then
      changed.is_changed, changed.id = nil, nil
      call("HSET", key("calls"), call_id, cmsgpack.pack(changed))
    end
  end
  for other, ids in pairs(begun) do
    if other ~= process then
      call("RPUSH", key("begun", other), unpack(ids))
      call("PEXPIRE", key("begun", other), constants.LEASE_MS)
    end
  end
  call("SET", state_key, cmsgpack.pack({
    state.incarnation, now_ms, state.arrivals, state.started_at_ms, state.keeps_uses, state.looks_at_ms,
    state.forgets_at_ms, state.failing_until_ms, state.unheard_ms, state.later_ms,
  }))
  local own = begun[process] or {}
  local others = call("LPOP", key("begun", process), constants.BEGUN_MAX) or {}
  for _, call_id in ipairs(others) do own[#own + 1] = call_id end
  return own
end

return
  open, save, gate_of, ask, go_on, wants, finish, forget, is_forgotten, serve, serve_due, next_look_ms, failing, key,
  release_hold
end)()
