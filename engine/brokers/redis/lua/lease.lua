-- Lease what may go now, by the rule of engine/ports/broker.py.
--
-- One script, because between choosing a message and taking its places no other call may take the last one.
--
-- KEYS
--   1 state  string  the queue as a whole
-- ARGV
--   1 now_ms ("": the time of Redis)  2 worker_id  3 slots  4 lease_ms
--   5 connections, in msgpack, if they are shared out (see shared/pools.lua), or ""
-- RETURNS
--   {"done", {leases, expired, wake_at_ms or false, is_kept_back, rings, incarnation, now_ms, ahead_ms}, records...}
--     of what expired and was leased; ``ahead_ms``: how far the queue's time is ahead of that of Redis
--   {"gone"}, {"barred"}  nothing was done: rebuild it from the ledger
-- COST  O(log n) for each lease, each timer that is due and each bot that is passed over, O(1) for none
-- USES  state queue leases answer

local state_key = unpack(KEYS)
local given_ms, worker_id, slots, lease_ms, connections = unpack(ARGV)

local refused = open(state_key, given_ms, true)
if refused then return refused end

pass_time()
local records = {}
local leased = lease_some(worker_id, tonumber(slots), tonumber(lease_ms), connections, records)
state.answered, state.promised_ms = state.rings, leased[3]
return answer(state_key, leased, records)
