-- Act by other limits from now on, if they are newer.
--
-- TWIN  engine/brokers/memory/configure.py
--
-- Bots and the ceiling change here; a chat changes when it is looked at, and the caller
-- has the lanes that wait looked at, page by page (see reoffer.lua). Meanwhile none is leased
-- by its old limit: lease.lua looks again at a chat that has not changed yet.
--
-- KEYS
--   1 state  string  the queue as a whole
-- ARGV
--   1 now_ms ("": the time of Redis)  2 version  3 limits, a record
-- RETURNS
--   {"done", {bot_ids}}  of all bots, or false: not newer, and nothing was done
--   {"gone"}             nothing was done
-- COST  O(bots)
-- USES  keys spacing windows state bots chats users queue answer

local state_key = unpack(KEYS)
local given_ms, version, packed = unpack(ARGV)

local refused = open(state_key, given_ms)
if refused then return refused end

pass_time()
if tonumber(version) <= limits.version then return answer(state_key, {false}) end

limits = unpack_limits(packed)
call("SET", key.limits(), packed)
state.ceiling = gates.unpacked(gates.packed(state.ceiling), limits.ceiling)
state.ceiling_spacing = spacings.unpacked(nil, limits.ceiling, limits.saved_up)
for _, bot in pairs(bots) do -- those that time has just passed for
  bot.gate = gates.unpacked(gates.packed(bot.gate), limits.bot)
  bot.spacing = spacings.unpacked(nil, limits.bot, limits.saved_up)
  bot.adapted = nil
  if bot.purse then
    reform_purse(bot)
    bot.paid_gate = gates.unpacked(gates.packed(bot.paid_gate), limits.paid)
  end
end
for _, chat in pairs(chats) do
  chat.gate, chat.adapted = gates.unpacked(gates.packed(chat.gate), limit_of_chat(chat.chat_id)), false
end
for user_key in pairs(users) do users[user_key] = nil end
local bot_ids = call("SMEMBERS", key.bots())
for _, bot_id in ipairs(bot_ids) do reoffer(bot_of(bot_id)) end
ring()
return answer(state_key, {bot_ids})
