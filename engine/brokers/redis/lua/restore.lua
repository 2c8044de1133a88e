-- Hold bots until their times; with the last of them, let the queue lease.
--
-- KEYS
--   1 state  string  the queue as a whole
-- ARGV
--   1 now_ms ("": the time of Redis)  2 holds of bots, in msgpack: {bot_id, until_ms}
--   3 whether these are the last ("1" or "")
-- RETURNS
--   {"done", {}}
--   {"gone"}      nothing was done
-- COST  O(log n) for each
-- USES  state bots queue holds answer

local state_key = unpack(KEYS)
local given_ms, holds, is_last = unpack(ARGV)

local refused = open(state_key, given_ms)
if refused then return refused end

pass_time()
for _, each in ipairs(cmsgpack.unpack(holds)) do hold(bot_of(each[1]), "", each[2]) end
if is_last == "1" then state.is_barred = false end
return answer(state_key, {})
