-- Give a bot so many turns for one of a bot that weighs 1.
--
-- KEYS
--   1 state  string  the queue as a whole
-- ARGV
--   1 now_ms ("": the time of Redis)  2 bot_id  3 weight
-- RETURNS
--   {"done", {}}
--   {"gone"}      nothing was done
-- COST  O(1)
-- USES  state bots queue answer

local state_key = unpack(KEYS)
local given_ms, bot_id, weight = unpack(ARGV)

local refused = open(state_key, given_ms)
if refused then return refused end

pass_time()
bot_of(bot_id).weight = tonumber(weight)
return answer(state_key, {})
