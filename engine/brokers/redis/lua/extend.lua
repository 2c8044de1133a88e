-- Move the deadlines of leases.
--
-- KEYS
--   1 state  string  the queue as a whole
-- ARGV
--   1 now_ms ("": the time of Redis)  2 by_ms  3 leases, in msgpack: {message_id, number, incarnation}
-- RETURNS
--   {"done", {whether each was still held}}
--   {"gone"}, {"barred"}  nothing was done
-- COST  O(log n) for each
-- USES  state messages queue answer

local state_key = unpack(KEYS)
local given_ms, by_ms, leases = unpack(ARGV)

local refused = open(state_key, given_ms, true)
if refused then return refused end

pass_time()
local extended = {}
for index, lease in ipairs(cmsgpack.unpack(leases)) do
  local entry = held(unpack(lease))
  if entry then
    entry.lease_until_ms, entry.is_changed = now_ms + tonumber(by_ms), true
    lease_ends[entry.id] = entry.lease_until_ms
  end
  extended[index] = entry ~= nil
end
return answer(state_key, extended)
