-- Lease nothing of a bot, or again.
--
-- KEYS
--   1 state  string  the queue as a whole
-- ARGV
--   1 now_ms ("": the time of Redis)  2 bot_id  3 paused ("1" or "")
-- RETURNS
--   {"done", {}}
--   {"gone"}      nothing was done
-- COST  O(1)
-- USES  state bots queue answer

local state_key = unpack(KEYS)
local given_ms, bot_id, paused = unpack(ARGV)

local refused = open(state_key, given_ms)
if refused then return refused end

pass_time()
local bot = bot_of(bot_id)
bot.is_paused = paused == "1"
reoffer(bot)
ring()
return answer(state_key, {})
