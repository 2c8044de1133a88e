-- Tell whether the queue can be used, and change nothing.
--
-- The leader asks each two seconds for as long as it leads. So this neither asks for the time nor lets it pass: that the
-- clock was set back, other verbs find out.
--
-- KEYS
--   1 state  string  the queue as a whole
-- ARGV
--   1 now_ms, which is not looked at
-- RETURNS
--   {"done", {}}        it leases
--   {"gone"}, {"barred"}  it does not
-- COST  O(1)
-- USES  state

local state_key = unpack(KEYS)
local given_ms = unpack(ARGV)

local refused = find(state_key, given_ms)
if refused then return refused end
if state.is_barred then return {"barred"} end
return {"done", cmsgpack.pack({})}
