-- Set holds; a later deadline replaces an earlier one, never the other way round.
--
-- KEYS
--   1 state  string  the queue as a whole
-- ARGV
--   1 now_ms ("": the time of Redis)  2 holds, in msgpack: {bot_id, chat_id ("": the whole bot), until_ms}
-- RETURNS
--   {"done", {}}
--   {"gone"}      nothing was done
-- COST  O(log n) for each
-- USES  state bots messages queue holds answer

local state_key = unpack(KEYS)
local given_ms, holds = unpack(ARGV)

local refused = open(state_key, given_ms)
if refused then return refused end

pass_time()
local rows = cmsgpack.unpack(holds)
fetch_chats(rows)
for _, each in ipairs(rows) do hold(bot_of(each[1]), each[2], each[3]) end
return answer(state_key, {})
