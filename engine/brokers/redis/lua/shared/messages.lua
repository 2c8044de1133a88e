-- One message that waits, or is leased under a number.
--
-- TWIN  engine/brokers/memory/lanes.py (Entry), engine/brokers/redis/records.py (the same bytes)
-- USES  keys records state bots chats users
--
-- What changes one says so in ``is_changed``, because most are only looked at.

local
  entries, lease_ends, unpack_entry, packed_entry, entry_of, fetch_entries, fetch_chats, chat_of_entry, lane_of, report,
  note_edit, forget_edit, newest_edit, held, gates_of
= (function()

local entries = {} -- those of this call, by id
local lease_ends = {} -- by id; false for those that are settled

local MESSAGE = "<BBBBBI4I4I4i8i8i8i8I2c0I2c0I2c0I2c0I2c0I2c0I2c0I4c0"

local function or_false(word)
  return word ~= "" and word
end

local function unpack_entry(message_id, raw)
  local index, is_paid, it_pays, is_due, tried, cost, first_attempt, attempt, ready_at_ms, expires_at_ms, number,
    lease_until_ms, bot_id, chat_id, replaces, user_id, method, position, worker_id, body = struct.unpack(MESSAGE, raw)
  return {
    id = message_id, bot_id = bot_id, chat_id = chat_id, index = index, cost = cost, ready_at_ms = ready_at_ms,
    expires_at_ms = some(expires_at_ms), first_attempt = first_attempt, replaces = or_false(replaces),
    user_id = or_false(user_id), is_paid = is_paid == 1, method = method, position = or_false(position) or message_id,
    attempt = attempt, tried = tried == 1, is_due = is_due == 1, pays = it_pays == 1, number = number,
    worker_id = worker_id, lease_until_ms = lease_until_ms, body = body, is_changed = false, is_gone = false,
    packed = nil,
  }
end

local function packed_entry(entry)
  local replaces, user_id, method, body = entry.replaces or "", entry.user_id or "", entry.method, entry.body
  local position = entry.position ~= entry.id and entry.position or ""
  return struct.pack(
    MESSAGE, entry.index, flag(entry.is_paid), flag(entry.pays), flag(entry.is_due), flag(entry.tried), entry.cost,
    entry.first_attempt, entry.attempt, entry.ready_at_ms, entry.expires_at_ms or NONE, entry.number,
    entry.lease_until_ms, #entry.bot_id, entry.bot_id, #entry.chat_id, entry.chat_id, #replaces, replaces, #user_id,
    user_id, #method, method, #position, position, #entry.worker_id, entry.worker_id, #body, body
  )
end

local function load_entry(message_id, raw)
  local entry = raw and unpack_entry(message_id, raw)
  entries[message_id] = entry
  return entry or nil
end

local function entry_of(message_id)
  local entry = entries[message_id]
  if entry ~= nil then return entry and not entry.is_gone and entry or nil end
  return load_entry(message_id, call("HGET", key.messages(), message_id))
end

-- Read ahead what a batch will ask for: messages, and the bots and chats of {bot_id, chat_id}.

local function fetch_entries(message_ids)
  if #message_ids == 0 then return end
  for index, raw in ipairs(call("HMGET", key.messages(), unpack(message_ids))) do
    if entries[message_ids[index]] == nil then load_entry(message_ids[index], raw) end
  end
end

local function fetch_chats(pairs_of_ids)
  local of_bots, of_chats, seen = {}, {}, {}
  for _, each in ipairs(pairs_of_ids) do
    if not bots[each[1]] and not seen[each[1]] then
      of_bots[#of_bots + 1], seen[each[1]] = key.bot(each[1]), true
    end
  end
  fetch(of_bots)
  for index, each in ipairs(pairs_of_ids) do
    of_chats[index] = key.chat(each[1], resolve(bot_of(each[1]), each[2]))
  end
  fetch(of_chats)
end

local function chat_of_entry(entry)
  local bot = bot_of(entry.bot_id)
  return chat_of(bot, resolve(bot, entry.chat_id))
end

local function lane_of(entry)
  return lane_in(chat_of_entry(entry), entry.cost > 0 and entry.index or entry.index + 3)
end

-- Hand a message to the caller: its id, and its record at the end of the answer.
local function report(records, entry)
  local bot = bot_of(entry.bot_id)
  if bot.is_aliased then entry.chat_id = resolve(bot, entry.chat_id) end
  records[#records + 1] = packed_entry(entry)
  return entry.id
end

-- Edits: what waits with the same ``replaces``, oldest first.

local function note_edit(chat, entry)
  if entry.replaces then
    call("ZADD", key.edits(chat.bot.bot_id, chat.chat_id), 0, entry.replaces .. "\0" .. entry.id)
  end
end

local function forget_edit(chat, entry)
  if entry.replaces then
    call("ZREM", key.edits(chat.bot.bot_id, chat.chat_id), entry.replaces .. "\0" .. entry.id)
  end
end

local function newest_edit(chat, replaces)
  local found = call(
    "ZREVRANGEBYLEX", key.edits(chat.bot.bot_id, chat.chat_id),
    "(" .. replaces .. "\1", "[" .. replaces .. "\0", "LIMIT", 0, 1
  )
  return found[1] and entry_of(string.sub(found[1], #replaces + 2))
end

-- Leases

local function held(message_id, number, incarnation)
  local entry = entry_of(message_id)
  if not entry or entry.number == 0 or entry.number ~= number or incarnation ~= state.incarnation then return nil end
  return entry
end

local function gates_of(entry, chat)
  if entry.cost == 0 then return {} end
  local bot, user = chat.bot, user_of(chat.bot, entry.user_id)
  local of_bot = bot.gate
  if entry.pays then of_bot = paid_gate_of(bot) end
  local found = {state.ceiling} -- nil is not in it
  if of_bot then found[#found + 1] = of_bot end
  if chat.gate then found[#found + 1] = chat.gate end
  if user then found[#found + 1] = user.gate end
  return found
end

return
  entries, lease_ends, unpack_entry, packed_entry, entry_of, fetch_entries, fetch_chats, chat_of_entry, lane_of, report,
  note_edit, forget_edit, newest_edit, held, gates_of
end)()
