-- Lease messages whose lease ran out to the caller.
--
-- KEYS
--   1 state  string  the queue as a whole
-- ARGV
--   1 now_ms ("": the time of Redis)  2 worker_id  3 slots  4 lease_ms
-- RETURNS
--   {"done", {leases, incarnation}, records}  the longest lost first
--   {"gone"}, {"barred"}                     nothing was done
-- COST  O(log n) for each
-- USES  keys state messages queue leases answer

local state_key = unpack(KEYS)
local given_ms, worker_id, slots, lease_ms = unpack(ARGV)

local refused = open(state_key, given_ms, true, true)
if refused then return refused end

local room = math.min(tonumber(slots), constants.BATCH_MAX)
local lost = call("ZRANGEBYSCORE", key.leases(), "-inf", now_ms, "LIMIT", 0, room)
if #lost == 0 then return {"done", cmsgpack.pack({{}, state.incarnation})} end

call("UNLINK", prefix .. "nothing") -- what has removed something may write, also where Redis is full
pass_time()
local leases, records = {}, {}
for _, message_id in ipairs(lost) do
  leases[#leases + 1] = give(entry_of(message_id), worker_id, tonumber(lease_ms), records)
end
return answer(state_key, {leases, state.incarnation}, records)
