-- Count.
--
-- KEYS
--   1 state  string  the queue as a whole
-- ARGV
--   1 now_ms ("": the time of Redis)
-- RETURNS
--   {"done", {open by priority, retry, leased, open by bot, adapted by bot, paid by bot, failing by bot}}
--     by bot: {bot_id, count}, or since when it is failing
--   {"gone"}  nothing was done
-- COST  O(bots)
-- USES  keys weighted_window state bots queue answer

local state_key = unpack(KEYS)
local given_ms = unpack(ARGV)

local refused = open(state_key, given_ms)
if refused then return refused end

pass_time()
local of_bots, adapted, paid, failing = {}, {}, {}, {}
for _, bot_id in ipairs(call("SMEMBERS", key.bots())) do
  local bot = seen_bot(bot_id)
  if bot.open > 0 then of_bots[#of_bots + 1] = {bot_id, bot.open} end
  if bot.adapted then adapted[#adapted + 1] = {bot_id, bot.adapted.places} end
  if bot.open > 0 and bot.health.failing then failing[#failing + 1] = {bot_id, bot.health.failing.since_ms} end
  local taken = bot.has_purse and weighted_windows.taken(purse_of(bot), now_ms) or 0
  if taken > 0 then paid[#paid + 1] = {bot_id, taken} end
end
return answer(state_key, {state.open, state.retry, call("ZCARD", key.leases()), of_bots, adapted, paid, failing})
