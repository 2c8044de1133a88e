-- What is loaded in one call, and written back at its end.
--
-- Every record is one string of msgpack, read once, changed as a table, and written at the end
-- if it has become another string. So whatever a call finds wrong with its arguments, and most
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
    redis.call(command, unpack(run))
  end
end

local function fetch(record_keys)
  if #record_keys == 0 then return end
  for place, raw in ipairs(redis.call("MGET", unpack(record_keys))) do fetched[record_keys[place]] = raw end
end

local function get(record_key)
  local raw = fetched[record_key]
  if raw == nil then raw = redis.call("GET", record_key) end
  return raw and cmsgpack.unpack(raw), raw
end

local function put(record_key, raw, value)
  local packed = cmsgpack.pack(value)
  if packed ~= raw then to_set[#to_set + 1], to_set[#to_set + 2] = record_key, packed end
end

local function time_ms()
  local time = redis.call("TIME")
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Load the schedule. ``given_ms`` "" takes the time of Redis; a test gives its own.
-- Return why nothing can be done, if that is so.
local function open(state_key, given_ms, leases)
  prefix = string.sub(state_key, 1, -6)
  state, state_raw = get(state_key)
  if not state then return {"gone"} end
  if leases and state.is_barred then return {"barred"} end
  limits = get(key.limits())
  now_ms = math.max(state.clock_ms, given_ms == "" and time_ms() or tonumber(given_ms))
  state.clock_ms = now_ms
  state.ceiling = gates.unpacked(state.ceiling, limits.ceiling)
  state.ceiling_spacing = spacings.unpacked(state.ceiling_spacing, limits.ceiling, limits.saved_up)
  return nil
end

-- Bots: lists, as all of a bot is read and written for each message, and names would cost more than numbers.

local UNSURE = true -- which lane is the first of a line

local function unpack_line(bot, place, kept)
  local turn, turn_in_bot, lanes, now, last, waiting, in_group, offered, first, first_turn = unpack(kept)
  bot.lines[place] = {
    bot = bot, place = place, is_spaced = place ~= NOT_SPACED, turn = turn, turn_in_bot = turn_in_bot, lanes = lanes,
    turns = {now = now, last = last, waiting = waiting}, in_group = in_group or nil, offered = offered or nil,
    first_turn = first_turn,
  }
  if first ~= UNSURE then bot.lines[place].first = first end
end

local function packed_line(line)
  local turns, first = line.turns, line.first
  if first == nil then first = UNSURE end
  return {
    line.turn, line.turn_in_bot, line.lanes, turns.now, turns.last, turns.waiting, line.in_group or false,
    line.offered or false, first, line.first_turn,
  }
end

local FRESH_LINE = {0, 0, 0, 0, 0, 0, false, false, false, 0}
local FRESH_BOT = {
  1, false, false, 0, 0, 0, 0, 0, false, {}, 0, 0, 0, false, false, false, false, false,
  FRESH_LINE, FRESH_LINE, FRESH_LINE, false,
}

local function bot_of(bot_id)
  local bot = bots[bot_id]
  if bot then return bot end
  local kept, raw = get(key.bot(bot_id))
  if not kept then redis.call("SADD", key.bots(), bot_id) end
  local weight, is_paused, is_aliased, hold_until_ms, doubt_until_ms, waiting, open_count, special, wake_at_ms, blames,
    now, last, among, version, adapted, has_purse, gate, spacing, high, normal, low,
    is_short = unpack(kept or FRESH_BOT)
  local is_current = version == limits.version -- what was lowered under other limits is forgotten
  bot = {
    bot_id = bot_id, raw = raw, weight = weight, is_paused = is_paused, is_aliased = is_aliased,
    hold_until_ms = hold_until_ms, doubt_until_ms = doubt_until_ms, waiting = waiting, open = open_count,
    special = special, wake_at_ms = wake_at_ms or nil, blames = blames,
    turns = {now = now, last = last, waiting = among}, adapted = is_current and adapted or nil,
    has_purse = has_purse, is_short = is_short, gate = gates.unpacked(gate, limits.bot),
    spacing = spacings.unpacked(is_current and spacing, limits.bot, limits.saved_up), lines = {}, chats = {},
  }
  if bot.adapted and bot.gate then bot.gate.places = bot.adapted.places end
  unpack_line(bot, 1, high)
  unpack_line(bot, 2, normal)
  unpack_line(bot, 3, low)
  bots[bot_id] = bot
  return bot
end

local function save_bot(bot)
  local lines, among = bot.lines, bot.turns
  put(key.bot(bot.bot_id), bot.raw, {
    bot.weight, bot.is_paused, bot.is_aliased, bot.hold_until_ms, bot.doubt_until_ms, bot.waiting, bot.open,
    bot.special, bot.wake_at_ms or false, bot.blames, among.now, among.last, among.waiting, limits.version,
    bot.adapted or false, bot.has_purse, gates.packed(bot.gate), spacings.packed(bot.spacing),
    packed_line(lines[1]), packed_line(lines[2]), packed_line(lines[3]), bot.is_short,
  })
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
  put(key.purse(bot.bot_id), bot.purse_raw, {
    gate = gates.packed(bot.paid_gate), taken = purse.taken, spent = purse.spent,
  })
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
      other = redis.call("HGET", key.aliases(bot.bot_id), chat_id)
      bot.aliases[chat_id] = other
    end
    if not other then return chat_id end
    chat_id = other
  end
  return chat_id
end

-- Chats: {waiting, hold, forget, flying, gate, adapted, version, lane, lane, lane}, as they are many.
-- Lanes: {size, turn, wait, offered, offered as paid, user}.

local function limit_of_chat(chat_id)
  local first = string.sub(chat_id, 1, 1)
  if first == "-" or first == "@" then return limits.group end
  if first == "" or first == "'" then return nil end
  return limits.chat
end

local function lane_in(chat, place)
  local lane = chat.lanes[place]
  if not lane then
    lane = {chat = chat, line = chat.bot.lines[place], size = 0, turn = 0, wait_until_ms = 0}
    chat.lanes[place] = lane
  end
  return lane
end

local function remember(chat)
  chat.bot.chats[chat.chat_id], chats[#chats + 1] = chat, chat
end

local function unpack_chat(bot, chat_id, raw, kept)
  local waiting, hold_until_ms, forget_at_ms, flying, gate, adapted, version = unpack(kept)
  local chat = {
    bot = bot, chat_id = chat_id, raw = raw, lanes = {}, waiting = waiting, hold_until_ms = hold_until_ms,
    forget_at_ms = forget_at_ms, flying = flying, version = version,
    adapted = version == limits.version and adapted, -- what was lowered under other limits is forgotten
    gate = gates.unpacked(gate, limit_of_chat(chat_id)),
  }
  if chat.adapted and chat.gate then chat.gate.places = chat.adapted.places end
  for place = 1, 3 do
    local packed = kept[7 + place]
    if packed then
      chat.lanes[place] = {
        chat = chat, line = bot.lines[place], size = packed[1], turn = packed[2], wait_until_ms = packed[3],
        offered = packed[4], offered_as_paid = packed[5], user_id = packed[6],
      }
    end
  end
  return chat
end

-- Return a chat that is remembered, or nil.
local function known_chat(bot, chat_id)
  local chat = bot.chats[chat_id]
  if chat then return not chat.is_gone and chat or nil end
  local kept, raw = get(key.chat(bot.bot_id, chat_id))
  if not kept then return nil end
  chat = unpack_chat(bot, chat_id, raw, kept)
  remember(chat)
  return chat
end

local function chat_of(bot, chat_id)
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
  if not lane or (lane.size == 0 and lane.turn == 0 and lane.wait_until_ms == 0) then return false end
  return {
    lane.size, lane.turn, lane.wait_until_ms, lane.offered or false, lane.offered_as_paid or false,
    lane.user_id or false,
  }
end

local function save_chat(chat)
  local chat_key = key.chat(chat.bot.bot_id, chat.chat_id)
  if chat.is_gone then
    redis.call("DEL", chat_key)
    return
  end
  local lanes = chat.lanes
  put(chat_key, chat.raw, {
    chat.waiting, chat.hold_until_ms, chat.forget_at_ms, chat.flying, gates.packed(chat.gate), chat.adapted,
    chat.version, packed_lane(lanes[1]), packed_lane(lanes[2]), packed_lane(lanes[3]),
  })
end

-- Users

local function user_of(bot, user_id)
  if not user_id or limits.user.count == 0 then return nil end
  local user_key = key.user(bot.bot_id, user_id)
  local user = users[user_key]
  if not user then
    local kept, raw = get(user_key)
    user = {bot = bot, user_id = user_id, key = user_key, raw = raw, gate = gates.unpacked(kept, limits.user)}
    users[user_key] = user
  end
  return user
end

-- A user is forgotten by Redis itself: nothing of it waits for time but its gate.
local function save_user(user)
  local packed = cmsgpack.pack(gates.packed(user.gate))
  if packed == user.raw then return end
  if user.gate.in_flight > 0 then
    redis.call("SET", user.key, packed)
  else
    redis.call("SET", user.key, packed, "PX", 2 * user.gate.limit.window_ms + 1000)
  end
end

-- Messages: one that waits, or is leased under a number. Whoever changes one says so in ``is_changed``,
-- because most are only looked at.

local function load_entry(message_id, raw)
  if not raw then
    entries[message_id] = false
    return nil
  end
  local bot_id, chat_id, place, cost, ready_at_ms, expires_at_ms, first_attempt, replaces, user_id, is_paid, method,
    position, attempt, tried, is_due, it_pays, number, worker_id, lease_until_ms, body = unpack(cmsgpack.unpack(raw))
  local entry = {
    id = message_id, bot_id = bot_id, chat_id = chat_id, place = place, cost = cost, ready_at_ms = ready_at_ms,
    expires_at_ms = expires_at_ms, first_attempt = first_attempt, replaces = replaces, user_id = user_id,
    is_paid = is_paid, method = method, position = position or message_id, attempt = attempt, tried = tried,
    is_due = is_due, pays = it_pays, number = number, worker_id = worker_id, lease_until_ms = lease_until_ms,
    body = body, is_changed = false,
  }
  entries[message_id] = entry
  return entry
end

local function entry_of(message_id)
  local entry = entries[message_id]
  if entry ~= nil then return entry and not entry.is_gone and entry or nil end
  return load_entry(message_id, redis.call("HGET", key.messages(), message_id))
end

-- Read ahead what a batch will ask for: messages, and the bots and chats of {bot_id, chat_id}.

local function fetch_entries(message_ids)
  if #message_ids == 0 then return end
  for place, raw in ipairs(redis.call("HMGET", key.messages(), unpack(message_ids))) do
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
  local packed = cmsgpack.pack({
    entry.bot_id, entry.chat_id, entry.place, entry.cost, entry.ready_at_ms, entry.expires_at_ms, entry.first_attempt,
    entry.replaces, entry.user_id, entry.is_paid, entry.method, entry.position ~= entry.id and entry.position,
    entry.attempt, entry.tried, entry.is_due, entry.pays, entry.number, entry.worker_id, entry.lease_until_ms,
    entry.body,
  })
  to_keep[#to_keep + 1], to_keep[#to_keep + 2] = entry.id, packed
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

-- What the caller is told of a message; its body follows in the answer.
local function told(bodies, entry, attempt)
  bodies[#bodies + 1] = entry.body
  return {
    entry.id, entry.bot_id, resolve(bot_of(entry.bot_id), entry.chat_id), entry.place, entry.cost, entry.ready_at_ms,
    entry.expires_at_ms or false, attempt or entry.first_attempt, entry.replaces or false, entry.user_id or false,
    entry.is_paid, entry.method,
  }
end

-- The end of a call

-- Wake whoever sleeps; once, until somebody has looked again.
local function ring()
  if state.rings > state.answered then return end
  state.rings = state.rings + 1
  redis.call("XADD", key.bell(), "MAXLEN", 1, string.format("%d-0", state.rings), "rings", "")
end

local function save_counts()
  local counts = table.concat(state.open, " ") .. " " .. state.retry
  if counts == state.counts then return end
  state.counts = counts
  redis.call(
    "HSET", key.counts(), "high", state.open[1], "normal", state.open[2], "low", state.open[3], "retry", state.retry
  )
end

-- Write what has changed, and return the answer of the verb: a word, what it says, and bodies.
local function answer(state_key, value, bodies)
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
  put(state_key, state_raw, state)
  save_leases()
  in_runs("HSET", to_keep, key.messages())
  in_runs("HDEL", to_forget, key.messages())
  in_runs("MSET", to_set)
  return {"done", cmsgpack.pack(value), unpack(bodies or {})}
end
