-- What is loaded in one call, and written back at its end.
--
-- Every record is one string, read once, changed as a table, and written at the end if it has become
-- another string. Bots, chats and messages are packed by struct, as all of them are read and written for
-- each message, and msgpack takes three times as long; what is rare in them is msgpack in its place.
-- So whatever a call finds wrong with its arguments, and most
-- of what may go wrong with our code, happens before the first record is written. Only the
-- sorted sets change at once, because the next step of the same call asks them.

local BATCH_MAX = 50
local TIMERS_MAX = 500 -- in one call, as everybody waits for it; if more are due, whoever leases comes again at once
local FORGETS_MAX = 100 -- in one call; the next goes on
local NOT_SPACED = 1 -- the place of high among the priorities

local state, limits, now_ms -- the schedule as a whole, its limits, and the time of this call
local state_raw
local more_is_due = false
local bots, chats, users, entries = {}, {}, {}, {}

-- A command costs more than what it does, so what can be read ahead is read together, and what is written waits.

local ARGUMENTS_MAX = 2000 -- of one command; Lua's stack bears some thousands
local fetched = {} -- records that were read ahead, false where there is none
local to_set, to_keep, to_forget = {}, {}, {} -- records, messages, ids of messages
local lease_ends = {} -- of message ids, false for those that are settled

local function in_runs(command, words, ...)
  for start = 1, #words, ARGUMENTS_MAX do
    local run, last = {...}, math.min(#words, start + ARGUMENTS_MAX - 1)
    for place = start, last do run[#run + 1] = words[place] end
    call(command, unpack(run))
  end
end

local function fetch(record_keys)
  if #record_keys == 0 then return end
  for place, raw in ipairs(call("MGET", unpack(record_keys))) do fetched[record_keys[place]] = raw end
end

local function read(record_key)
  local raw = fetched[record_key]
  if raw == nil then raw = call("GET", record_key) end
  return raw
end

local function get(record_key)
  local raw = read(record_key)
  return raw and cmsgpack.unpack(raw), raw
end

local function put(record_key, raw, packed)
  if packed ~= raw then to_set[#to_set + 1], to_set[#to_set + 2] = record_key, packed end
end

local function time_ms()
  local time = call("TIME")
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Tell whether this is the schedule that the caller means, and return the time that he gives. Who rebuilds one names
-- it, as ``"<given_ms> <incarnation>"``: he may have slept until another has begun it anew.
local function is_meant(given_ms)
  if not string.find(given_ms, " ", 1, true) then return true, given_ms end
  local its_ms, incarnation = string.match(given_ms, "^(%d*) (%d+)$")
  return tonumber(incarnation) == state.incarnation, its_ms
end

-- Load the schedule. ``given_ms`` "" takes the time of Redis; a test gives its own.
-- Return why nothing can be done, if that is so.
local function open(state_key, given_ms, leases)
  prefix = string.sub(state_key, 1, -6)
  state, state_raw = get(state_key)
  if not state or state.is_cleared then return {"gone"} end
  local it_is
  it_is, given_ms = is_meant(given_ms)
  if not it_is then return {"gone"} end
  if leases and state.is_barred then return {"barred"} end
  limits = get(key.limits())
  now_ms = math.max(state.clock_ms, given_ms == "" and time_ms() or tonumber(given_ms))
  state.clock_ms = now_ms
  state.ceiling = gates.unpacked(state.ceiling, limits.ceiling)
  state.ceiling_spacing = spacings.unpacked(state.ceiling_spacing, limits.ceiling, limits.saved_up)
  return nil
end

-- In records: what may be missing where 0 is something.

local NONE = -1

local function some(number)
  if number == NONE then return nil end
  return number
end

local function flag(value)
  return value and 1 or 0
end

-- Bots: a head and three lines.

local bot_of, save_bot

do
  local UNSURE = 2 -- which lane is the first of a line
  local NO_BLAMES = {}
  local BOT_HEAD = "<BBBBdddddddddddI4c0I4c0I4c0"
  local BOT_LINE = "<dddddddBI2c0dI2c0"

  -- Read a line, and return where the next begins.
  local function unpack_line(bot, place, raw, at)
    local turn, turn_in_bot, now, last, members, in_group, first_turn, has_first, first, offered_cost, offered
    turn, turn_in_bot, now, last, members, in_group, first_turn, has_first, first, offered_cost, offered, at =
      struct.unpack(BOT_LINE, raw, at)
    if has_first == UNSURE then
      first = nil
    elseif has_first == 0 then
      first = false
    end
    bot.lines[place] = {
      bot = bot, place = place, is_spaced = place ~= NOT_SPACED, turn = turn, turn_in_bot = turn_in_bot, now = now,
      last = last, members = members, in_group = some(in_group), first = first, first_turn = first_turn,
      offered = offered ~= "" and offered or nil, offered_cost = offered_cost, fronts = nil, ready_key = nil,
    }
    return at
  end

  local function packed_line(line)
    local first, offered, has_first = line.first, line.offered or "", 1
    if not first then
      has_first, first = first == nil and UNSURE or 0, ""
    end
    return struct.pack(
      BOT_LINE, line.turn, line.turn_in_bot, line.now, line.last, line.members, line.in_group or NONE, line.first_turn,
      has_first, #first, first, line.offered_cost, #offered, offered
    )
  end

  local function fresh_line(bot, place)
    bot.lines[place] = {
      bot = bot, place = place, is_spaced = place ~= NOT_SPACED, turn = 0, turn_in_bot = 0, now = 0, last = 0,
      members = 0, first = false, first_turn = 0, offered_cost = 0,
    }
  end

  local function fresh_bot(bot_id)
    call("SADD", key.bots(), bot_id)
    local bot = {
      bot_id = bot_id, weight = 1, is_paused = false, is_aliased = false, hold_until_ms = 0, doubt_until_ms = 0,
      waiting = 0, open = 0, special = 0, blames = NO_BLAMES, now = 0, last = 0, members = 0, has_purse = false,
      is_short = false, gate = gates.fresh(limits.bot), lines = {}, chats = {},
      spacing = spacings.unpacked(nil, limits.bot, limits.saved_up),
    }
    for place = 1, 3 do fresh_line(bot, place) end
    return bot
  end

  local function unpack_bot(bot_id, raw)
    local is_paused, is_aliased, has_purse, is_short, weight, hold_until_ms, doubt_until_ms, waiting, open_count,
      special, wake_at_ms, now, last, members, version, spaced, gate, rare, at = struct.unpack(BOT_HEAD, raw)
    local is_current = version == limits.version -- what was lowered under other limits is forgotten
    local adapted, blames = nil, NO_BLAMES
    if rare ~= "" then
      rare = cmsgpack.unpack(rare)
      adapted, blames = is_current and rare.adapted or nil, rare.blames
    end
    local bot = {
      bot_id = bot_id, raw = raw, weight = weight, is_paused = is_paused == 1, is_aliased = is_aliased == 1,
      hold_until_ms = hold_until_ms, doubt_until_ms = doubt_until_ms, waiting = waiting, open = open_count,
      special = special, wake_at_ms = some(wake_at_ms), blames = blames, now = now, last = last, members = members,
      adapted = adapted, has_purse = has_purse == 1, is_short = is_short == 1, gate = gates.unpacked(gate, limits.bot),
      spacing = spacings.unpacked(is_current and spaced, limits.bot, limits.saved_up), lines = {}, chats = {},
    }
    if adapted and bot.gate then bot.gate.places = adapted.places end
    for place = 1, 3 do at = unpack_line(bot, place, raw, at) end
    return bot
  end

  function bot_of(bot_id)
    local bot = bots[bot_id]
    if bot then return bot end
    local raw = read(key.bot(bot_id))
    bot = raw and unpack_bot(bot_id, raw) or fresh_bot(bot_id)
    bots[bot_id] = bot
    return bot
  end

  local function rare_of(bot)
    if not bot.adapted and #bot.blames == 0 then return "" end
    return cmsgpack.pack({adapted = bot.adapted, blames = bot.blames})
  end

  function save_bot(bot)
    local gate, spaced, rare = gates.packed(bot.gate), spacings.packed(bot.spacing), rare_of(bot)
    local high, normal, low = unpack(bot.lines)
    local head = struct.pack(
      BOT_HEAD, flag(bot.is_paused), flag(bot.is_aliased), flag(bot.has_purse), flag(bot.is_short), bot.weight,
      bot.hold_until_ms, bot.doubt_until_ms, bot.waiting, bot.open, bot.special, bot.wake_at_ms or NONE, bot.now,
      bot.last, bot.members, limits.version, #spaced, spaced, #gate, gate, #rare, rare
    )
    put(key.bot(bot.bot_id), bot.raw, head .. packed_line(high) .. packed_line(normal) .. packed_line(low))
  end
end

-- Load what a bot pays for; most pay for nothing. Whoever changes it says so in ``has_purse``.
local function purse_of(bot)
  if bot.purse then return bot.purse end
  local kept
  if bot.has_purse then kept, bot.purse_raw = get(key.purse(bot.bot_id)) end
  kept = kept or {gate = false, taken = 0, spent = {}}
  bot.paid_gate = gates.unpacked(kept.gate, limits.paid)
  bot.purse = {limit = limits.purse, taken = kept.taken, spent = kept.spent}
  return bot.purse
end

local function paid_gate_of(bot)
  purse_of(bot)
  return bot.paid_gate
end

local function save_purse(bot)
  local purse = bot.purse
  local packed = cmsgpack.pack({gate = gates.packed(bot.paid_gate), taken = purse.taken, spent = purse.spent})
  put(key.purse(bot.bot_id), bot.purse_raw, packed)
end

-- Tell whether a message of this cost would go as a paid one now.
local function pays(bot, is_paid, cost)
  return is_paid and purses.free_at_ms(purse_of(bot), now_ms, cost) == now_ms
end

-- Return by which name a chat is known now.
local function resolve(bot, chat_id)
  if not bot.is_aliased then return chat_id end
  bot.aliases = bot.aliases or {}
  while chat_id ~= "" do
    local other = bot.aliases[chat_id]
    if other == nil then
      other = call("HGET", key.aliases(bot.bot_id), chat_id)
      bot.aliases[chat_id] = other
    end
    if not other then return chat_id end
    chat_id = other
  end
  return chat_id
end

-- Chats: a head, and the lanes of which something waits or is owed; as they are many, nothing is kept of the others.

local limit_of_chat, lane_in, known_chat, chat_of, save_chat

do
  local CHAT_HEAD = "<I4dddI2c0I4c0I2c0B"
  local CHAT_LANE = "<I4ddBI2c0Bc0"

  function limit_of_chat(chat_id)
    local first = string.sub(chat_id, 1, 1)
    if first == "-" or first == "@" then return limits.group end
    if first == "" or first == "'" then return nil end
    return limits.chat
  end

  function lane_in(chat, place)
    local lane = chat.lanes[place]
    if not lane then
      lane = {
        chat = chat, line = chat.bot.lines[place], size = 0, turn = 0, wait_until_ms = 0, offered = false,
        offered_as_paid = false, user_id = false,
      }
      chat.lanes[place] = lane
    end
    return lane
  end

  local function remember(chat)
    chat.bot.chats[chat.chat_id], chats[#chats + 1] = chat, chat
  end

  local function words_of(text)
    local words = {}
    for word in string.gmatch(text, "%S+") do words[#words + 1] = word end
    return words
  end

  -- Read a lane, and return where the next begins.
  local function unpack_lane(chat, place, raw, at)
    local size, turn, wait_until_ms, offered_as_paid, offered, user_id
    size, turn, wait_until_ms, offered_as_paid, offered, user_id, at = struct.unpack(CHAT_LANE, raw, at)
    chat.lanes[place] = {
      chat = chat, line = chat.bot.lines[place], size = size, turn = turn, wait_until_ms = wait_until_ms,
      offered = offered ~= "" and offered, offered_as_paid = offered_as_paid == 1, user_id = user_id ~= "" and user_id,
    }
    return at
  end

  local function unpack_chat(bot, chat_id, raw)
    local waiting, hold_until_ms, forget_at_ms, version, flying, gate, adapted, lanes, at =
      struct.unpack(CHAT_HEAD, raw)
    local chat = {
      bot = bot, chat_id = chat_id, raw = raw, lanes = {}, waiting = waiting, hold_until_ms = hold_until_ms,
      forget_at_ms = some(forget_at_ms) or false, flying = words_of(flying), version = version, adapted = false,
      gate = gates.unpacked(gate, limit_of_chat(chat_id)),
    }
    if adapted ~= "" and version == limits.version then -- what was lowered under other limits is forgotten
      chat.adapted = cmsgpack.unpack(adapted)
      if chat.gate then chat.gate.places = chat.adapted.places end
    end
    for place = 1, 3 do
      if lanes % 2 == 1 then at = unpack_lane(chat, place, raw, at) end
      lanes = math.floor(lanes / 2)
    end
    return chat
  end

  -- Return a chat that is remembered, or nil.
  function known_chat(bot, chat_id)
    local chat = bot.chats[chat_id]
    if chat then return not chat.is_gone and chat or nil end
    local raw = read(key.chat(bot.bot_id, chat_id))
    if not raw then return nil end
    chat = unpack_chat(bot, chat_id, raw)
    remember(chat)
    return chat
  end

  function chat_of(bot, chat_id)
    local chat = known_chat(bot, chat_id)
    if chat then return chat end
    chat = {
      bot = bot, chat_id = chat_id, lanes = {}, waiting = 0, hold_until_ms = 0, forget_at_ms = false, flying = {},
      version = limits.version, adapted = false, gate = gates.fresh(limit_of_chat(chat_id)),
    }
    remember(chat)
    return chat
  end

  local function packed_lane(lane)
    if not lane or (lane.size == 0 and lane.turn == 0 and lane.wait_until_ms == 0) then return nil end
    local offered, user_id = lane.offered or "", lane.user_id or ""
    return struct.pack(
      CHAT_LANE, lane.size, lane.turn, lane.wait_until_ms, flag(lane.offered_as_paid), #offered, offered, #user_id,
      user_id
    )
  end

  function save_chat(chat)
    local chat_key = key.chat(chat.bot.bot_id, chat.chat_id)
    if chat.is_gone then
      call("DEL", chat_key)
      return
    end
    local flying, gate, lanes = table.concat(chat.flying, " "), gates.packed(chat.gate), chat.lanes
    local adapted = chat.adapted and cmsgpack.pack(chat.adapted) or ""
    local high, normal, low = packed_lane(lanes[1]), packed_lane(lanes[2]), packed_lane(lanes[3])
    local which = (high and 1 or 0) + (normal and 2 or 0) + (low and 4 or 0)
    local head = struct.pack(
      CHAT_HEAD, chat.waiting, chat.hold_until_ms, chat.forget_at_ms or NONE, chat.version, #flying, flying, #gate,
      gate, #adapted, adapted, which
    )
    put(chat_key, chat.raw, head .. (high or "") .. (normal or "") .. (low or ""))
  end
end

-- Users

local function user_of(bot, user_id)
  if not user_id or limits.user.count == 0 then return nil end
  local user_key = key.user(bot.bot_id, user_id)
  local user = users[user_key]
  if not user then
    local raw = read(user_key)
    user = {bot = bot, user_id = user_id, key = user_key, raw = raw, gate = gates.unpacked(raw, limits.user)}
    users[user_key] = user
  end
  return user
end

-- A user is forgotten by Redis itself: nothing of it waits for time but its gate.
local function save_user(user)
  local packed = gates.packed(user.gate)
  if packed == (user.raw or "") then return end
  if user.gate.in_flight > 0 then
    call("SET", user.key, packed)
  else
    call("SET", user.key, packed, "PX", 2 * user.gate.limit.window_ms + 1000)
  end
end

-- Messages: one that waits, or is leased under a number; engine/redis_records.py writes and reads the same
-- bytes. Whoever changes one says so in ``is_changed``, because most are only looked at.

local MESSAGE = "<BBBBBI4I4I4i8i8i8i8I2c0I2c0I2c0I2c0I2c0I2c0I2c0I4c0"

local function or_false(word)
  return word ~= "" and word
end

local function unpack_entry(message_id, raw)
  local place, is_paid, it_pays, is_due, tried, cost, first_attempt, attempt, ready_at_ms, expires_at_ms, number,
    lease_until_ms, bot_id, chat_id, replaces, user_id, method, position, worker_id, body = struct.unpack(MESSAGE, raw)
  return {
    id = message_id, bot_id = bot_id, chat_id = chat_id, place = place, cost = cost, ready_at_ms = ready_at_ms,
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
    MESSAGE, entry.place, flag(entry.is_paid), flag(entry.pays), flag(entry.is_due), flag(entry.tried), entry.cost,
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
  for place, raw in ipairs(call("HMGET", key.messages(), unpack(message_ids))) do
    if entries[message_ids[place]] == nil then load_entry(message_ids[place], raw) end
  end
end

local function fetch_whose(pairs_of_ids)
  local of_bots, of_chats, seen = {}, {}, {}
  for _, each in ipairs(pairs_of_ids) do
    if not bots[each[1]] and not seen[each[1]] then
      of_bots[#of_bots + 1], seen[each[1]] = key.bot(each[1]), true
    end
  end
  fetch(of_bots)
  for place, each in ipairs(pairs_of_ids) do
    of_chats[place] = key.chat(each[1], resolve(bot_of(each[1]), each[2]))
  end
  fetch(of_chats)
end

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

local function lane_of(entry)
  local bot = bot_of(entry.bot_id)
  return lane_in(chat_of(bot, resolve(bot, entry.chat_id)), entry.place)
end

-- What the caller is told of a message: its id; its record follows in the answer.
local function told(records, entry)
  local bot = bot_of(entry.bot_id)
  if bot.is_aliased then entry.chat_id = resolve(bot, entry.chat_id) end
  records[#records + 1] = packed_entry(entry)
  return entry.id
end

-- The end of a call

-- Wake whoever sleeps; once, until somebody has looked again.
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
    if bot.purse and bot.has_purse then save_purse(bot) end
    save_bot(bot)
  end
  save_counts()
  state.ceiling = gates.packed(state.ceiling)
  state.ceiling_spacing = spacings.packed(state.ceiling_spacing)
  put(state_key, state_raw, cmsgpack.pack(state))
  save_leases()
  in_runs("HSET", to_keep, key.messages())
  in_runs("HDEL", to_forget, key.messages())
  in_runs("MSET", to_set)
  return {"done", cmsgpack.pack(value), unpack(records or {})}
end
