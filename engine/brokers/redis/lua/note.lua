-- Take the places that past sends still occupy, and what was spent.
--
-- KEYS
--   1 state  string  the queue as a whole
-- ARGV
--   1 now_ms ("": the time of Redis)  2 spent, in msgpack: {bot_id, at_ms, cost}, oldest first
--   3 sends, in msgpack: {bot_id, chat_id, counted_at_ms, cost, is_paid}
-- RETURNS
--   {"done", {}}
--   {"gone"}      nothing was done
-- COST  O(log n) for each
-- USES  windows weighted_window state bots chats queue answer

local state_key = unpack(KEYS)
local given_ms, spent, sends = unpack(ARGV)

local refused = open(state_key, given_ms)
if refused then return refused end

pass_time()
for _, each in ipairs(cmsgpack.unpack(spent)) do
  local bot = bot_of(each[1])
  bot.has_purse = true
  weighted_windows.spend(purse_of(bot), math.min(each[2], now_ms), each[3])
  reoffer(bot)
end
for _, each in ipairs(cmsgpack.unpack(sends)) do
  local bot_id, chat_id, counted_at_ms, cost, is_paid = unpack(each)
  local bot = bot_of(bot_id)
  local chat = chat_of(bot, resolve(bot, chat_id))
  chat.is_restored = true
  local of_bot = bot.gate
  if is_paid then
    of_bot = paid_gate_of(bot)
    bot.has_purse = true
  end
  for _, gate in ipairs({state.ceiling or false, of_bot or false, chat.gate or false}) do
    if gate then gates.note(gate, counted_at_ms, cost, now_ms) end
  end
  reoffer_chat(chat)
end
return answer(state_key, {})
