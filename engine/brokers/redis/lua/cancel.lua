-- Forget waiting messages.
--
-- KEYS
--   1 state  string  the queue as a whole
-- ARGV
--   1 now_ms ("": the time of Redis)  2... message ids
-- RETURNS
--   {"done", {whether each waited}}  false for one that is leased or unknown: too late
--   {"gone"}                         nothing was done
-- COST  O(log n) for each
-- USES  state messages queue answer

local state_key = unpack(KEYS)
local given_ms = unpack(ARGV)

local refused = open(state_key, given_ms)
if refused then return refused end

pass_time()
local cancelled = {}
for index = 2, #ARGV do
  local entry = entry_of(ARGV[index])
  local waits = entry ~= nil and entry.number == 0
  if waits then remove(entry) end
  cancelled[index - 1] = waits
end
ring()
return answer(state_key, cancelled)
