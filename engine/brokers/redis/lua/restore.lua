-- Take the places that past sends still occupy, and what was spent; hold bots; and let it lease.
--
-- KEYS
--   1 state  string  the schedule as a whole
-- ARGV
--   1 now_ms ("": the time of Redis)  2 spent, in msgpack: {bot_id, at_ms, cost}, oldest first
--   3 sends, in msgpack: {bot_id, chat_id, counted_at_ms, cost, is_paid}
--   4 holds of bots, in msgpack: {bot_id, until_ms}  5 whether these are the last ("1" or "")
-- RETURNS
--   {"done", {}}
--   {"gone"}      nothing was done
-- COST  O(log n) for each

local state_key = unpack(KEYS)
local given_ms, spent, sends, holds, is_last = unpack(ARGV)

local refused = open(state_key, given_ms)
if refused then return refused end

pass_time()
for _, each in ipairs(cmsgpack.unpack(spent)) do
  local bot = bot_of(each[1])
  bot.has_purse = true
  purses.spend(purse_of(bot), each[2], each[3])
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
    if gate then
      gates.take(gate, cost)
      gates.settle(gate, counted_at_ms, cost, 0)
    end
  end
  reoffer_chat(chat)
end
for _, each in ipairs(cmsgpack.unpack(holds)) do hold(bot_of(each[1]), "", each[2]) end
if is_last == "1" then state.is_barred = false end
return answer(state_key, {})
