-- Tell whether the queue can be used, and change nothing.
--
-- The leader asks each two seconds for as long as it leads. So this neither asks for the time nor lets it pass.
--
-- KEYS
--   1 state  string  the queue as a whole
-- ARGV
--   1 now_ms ("": the time of Redis)
-- RETURNS
--   {"done", {}}        it leases
--   {"gone"}, {"barred"}  it does not
-- COST  O(1)
-- USES  state

local state_key = unpack(KEYS)
local given_ms = unpack(ARGV)

local refused = open(state_key, string.gsub(given_ms, "^%d*", "0"), true, true)
if refused then return refused end
return {"done", cmsgpack.pack({})}
