-- Let two ids be one chat: windows, holds and what waits (and comes) for the first go to the second.
--
-- KEYS
--   1 state  string  the queue as a whole
-- ARGV
--   1 now_ms ("": the time of Redis)  2 bot_id  3 from_chat_id  4 to_chat_id
-- RETURNS
--   {"done", {}}
--   {"gone"}      nothing was done
-- COST  O(n log n) in what waits for the first, which the cap of a chat bounds
-- USES  state bots queue migration answer

local state_key = unpack(KEYS)
local given_ms, bot_id, from_chat_id, to_chat_id = unpack(ARGV)

local refused = open(state_key, given_ms)
if refused then return refused end

pass_time()
migrate(bot_of(bot_id), from_chat_id, to_chat_id)
ring()
return answer(state_key, {})
