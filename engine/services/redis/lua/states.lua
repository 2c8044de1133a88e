-- Return what is seen of limiters. It changes nothing: no key is written.
--
-- KEYS
--   1 state  string  the queue as a whole
-- ARGV
--   1 given_ms  2 keeps_uses  3 limiters
--   ``given_ms`` and ``keeps_uses`` as in ``exchange``; ``limiters`` is a msgpack list of {name, version, limit}.
-- RETURNS
--   {now_ms, {{limit, under_way, waiting, left, free_at_ms, held_until_ms, held_by, open_until_ms}, ...}}
--   A number is -1 where there is none; ``open_until_ms`` is until when processes agree that it fails.
-- COST  O(1) for each limiter
-- USES  call_queue

local state_key = unpack(KEYS)
local given_ms, keeps_uses, limiters = unpack(ARGV)

local _, now_ms = open(state_key, given_ms, "", keeps_uses)

local function meter_of(name, version, limit)
  local meter = gate_of(name).meter or gate_of(name, version, limit).meter
  if meter.version < version then meters.reform(meter, now_ms, limit, version) end
  return meter
end

local function later(at_ms)
  return at_ms > now_ms and at_ms or 0
end

local seen = {}
for place, limiter in ipairs(cmsgpack.unpack(limiters)) do
  local meter = meter_of(unpack(limiter))
  seen[place] = {
    meter.limit, meter.busy, redis.call("ZCARD", key("waiting", limiter[1])), meters.left(meter, now_ms) or -1,
    meters.ready_at_ms(meter, now_ms, 1) or -1, later(meter.held_until_ms), meter.held_by, later(meter.open_until_ms),
  }
end
return {now_ms, seen}
