-- End leases.
--
-- One script, because what a 429 holds must be held before any other call leases from it.
--
-- KEYS
--   1 state  string  the queue as a whole
-- ARGV
--   1 now_ms ("": the time of Redis)
--   2 settlements, in msgpack: {message_id, number, incarnation, attempt, counted_age_ms or false, counted_cost,
--     rest, alive, then...}; rest is false or {method, cost, which of the bodies is its own}; alive is "alive",
--     "failed" or "" (it tells nothing of Telegram); then is one of
--     "done" | "again", delay_ms, is_spent | "hold", retry_after_ms | "move", to_chat_id | "pause"
--   3... bodies of rests
-- RETURNS
--   {"done", {{held, holds, failing}...}}  a hold is {bot_id, chat_id, until_ms}; failing is false, or {begins,
--     after_ms}: its bot is failing from now on, or no longer
--   {"gone"}                               nothing was done
-- COST  O(log n) for each
-- USES  state messages queue settlements answer

local state_key = unpack(KEYS)
local given_ms, settlements = unpack(ARGV)

local refused = open(state_key, given_ms)
if refused then return refused end

pass_time()
local rows, ids, owners = cmsgpack.unpack(settlements), {}, {}
for index, settlement in ipairs(rows) do ids[index] = settlement[1] end
fetch_entries(ids)
for _, message_id in ipairs(ids) do
  local entry = entry_of(message_id)
  if entry then owners[#owners + 1] = {entry.bot_id, entry.chat_id} end
end
fetch_chats(owners)

local settled = {}
for index, settlement in ipairs(rows) do
  local rest = settlement[7]
  if rest then rest[3] = ARGV[2 + rest[3]] end
  settled[index] = settle(unpack(settlement))
end
ring()
return answer(state_key, settled)
