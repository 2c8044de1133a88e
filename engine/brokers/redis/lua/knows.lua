-- Tell which messages wait here or are leased.
--
-- KEYS
--   1 state  string  the queue as a whole
-- ARGV
--   1 now_ms ("": the time of Redis)  2... message ids
-- RETURNS
--   {"done", {whether each is known}}
--   {"gone"}                           nothing was done
-- COST  O(1) for each
-- USES  keys state answer

local state_key = unpack(KEYS)
local given_ms = unpack(ARGV)

local refused = open(state_key, given_ms)
if refused then return refused end

local known = {}
for index = 2, #ARGV do
  known[index - 1] = call("HEXISTS", key.messages(), ARGV[index]) == 1
end
return answer(state_key, known)
