-- The end of a call: writes what has changed, and answers.
--
-- TWIN  engine/brokers/memory/wakeup.py (ring); the rest has none
-- USES  keys spacing windows records state bots chats users messages

local
  ring, answer
= (function()

local function save_entry(entry)
  if entry.is_gone then
    to_forget[#to_forget + 1] = entry.id
    return
  end
  to_keep[#to_keep + 1], to_keep[#to_keep + 2] = entry.id, entry.packed or packed_entry(entry)
end

local function save_leases()
  local ends, settled = {}, {}
  for message_id, until_ms in pairs(lease_ends) do
    if until_ms then
      ends[#ends + 1], ends[#ends + 2] = until_ms, message_id
    else
      settled[#settled + 1] = message_id
    end
  end
  in_runs("ZADD", ends, key.leases())
  in_runs("ZREM", settled, key.leases())
end

-- Wake the workers that sleep; once, until one has looked again.
local function ring()
  if state.rings > state.answered then return end
  state.rings = state.rings + 1
  call("XADD", key.bell(), "MAXLEN", 1, string.format("%d-0", state.rings), "rings", "")
end

local function save_counts()
  local counts = table.concat(state.open, " ") .. " " .. state.retry
  if counts == state.counts then return end
  state.counts = counts
  call(
    "HSET", key.counts(), "high", state.open[1], "normal", state.open[2], "low", state.open[3], "retry", state.retry
  )
end

-- Write what has changed, and return the answer of the verb: a word, what it says, and records of messages.
local function answer(state_key, value, records)
  for _, entry in pairs(entries) do
    if entry and (entry.is_changed or entry.is_gone) then save_entry(entry) end
  end
  for _, chat in ipairs(chats) do save_chat(chat) end -- in order: one may have been forgotten and met again
  for _, user in pairs(users) do save_user(user) end
  for _, bot in pairs(bots) do
    if bot.is_touched then
      if bot.purse and bot.has_purse then save_purse(bot) end
      save_bot(bot)
    end
  end
  save_counts()
  state.ceiling = gates.packed(state.ceiling)
  state.ceiling_spacing = spacings.packed(state.ceiling_spacing)
  put(state_key, state.raw, packed_state(state))
  save_leases()
  in_runs("HSET", to_keep, key.messages())
  in_runs("HDEL", to_forget, key.messages())
  in_runs("MSET", to_set)
  in_runs("DEL", to_delete)
  return {"done", cmsgpack.pack(value), unpack(records or {})}
end

return
  ring, answer
end)()
