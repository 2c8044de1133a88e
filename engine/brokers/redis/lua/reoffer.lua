-- Look again at lanes that wait, under the limits of now.
--
-- KEYS
--   1 state  string  the queue as a whole
-- ARGV
--   1 now_ms ("": the time of Redis)  2 bot_id  3... chat ids
-- RETURNS
--   {"done", {}}
--   {"gone"}      nothing was done
-- COST  O(log n) for each
-- USES  state bots chats queue answer

local state_key = unpack(KEYS)
local given_ms, bot_id = unpack(ARGV)

local refused = open(state_key, given_ms)
if refused then return refused end

pass_time()
for index = 3, #ARGV do
  local chat = known_chat(bot_of(bot_id), ARGV[index])
  if chat then reoffer_chat(chat) end
end
ring()
return answer(state_key, {})
