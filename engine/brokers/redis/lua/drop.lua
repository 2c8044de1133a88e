-- Forget what waits with one ``replaces``: what it would change is gone.
--
-- KEYS
--   1 state  string  the queue as a whole
-- ARGV
--   1 now_ms ("": the time of Redis)  2 bot_id  3 chat_id  4 replaces
-- RETURNS
--   {"done", {messages}, records}  oldest first, a batch at most: ask again until there is none
--   {"gone"}                      nothing was done
-- COST  O(log n) for each that it forgets
-- USES  keys state bots messages queue answer

local state_key = unpack(KEYS)
local given_ms, bot_id, chat_id, replaces = unpack(ARGV)

local refused = open(state_key, given_ms)
if refused then return refused end

pass_time()
local bot = bot_of(bot_id)
local dropped, records = {}, {}
local members = call(
  "ZRANGEBYLEX", key.edits(bot_id, resolve(bot, chat_id)), "[" .. replaces .. "\0", "(" .. replaces .. "\1",
  "LIMIT", 0, constants.BATCH_MAX
)
for index, member in ipairs(members) do
  local entry = entry_of(string.sub(member, #replaces + 2))
  dropped[index] = report(records, entry)
  remove(entry)
end
ring()
return answer(state_key, dropped, records)
