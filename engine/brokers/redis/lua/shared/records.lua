-- What is loaded in one call, and written back at its end.
--
-- Every record is one string, read once, changed as a table, and written at the end if it has become
-- another string. Bots, chats and messages are packed by struct, as all of them are read and written for
-- each message, and msgpack takes three times as long; what is rare in them is msgpack in its place.
-- So whatever a call finds wrong with its arguments, and most
-- of what may go wrong with our code, happens before the first record is written. Only the
-- sorted sets change at once, because the next step of the same call asks them.

local state, limits, now_ms -- the schedule as a whole, its limits, and the time of this call
local more_is_due = false

local
  BATCH_MAX, TIMERS_MAX, bots, chats, users, entries, lease_ends, packed_state, cleared_state, load_state,
  unpack_limits, open, bot_of, seen_bot, lines_of, purse_of, paid_gate_of, pays, resolve, limit_of_chat, lane_in,
  known_chat, chat_of, user_of, unpack_entry,
  entry_of, fetch_entries, fetch_whose, chat_of_entry, lane_of, told, ring, answer, in_runs, time_ms
= (function()

local BATCH_MAX = 50
local TIMERS_MAX = 100 -- in one call, as everybody waits for it; if more are due, whoever leases comes again at once
local NOT_SPACED = 1 -- the place of high among the priorities

local state_raw
local bots, chats, users, entries = {}, {}, {}, {}

-- A command costs more than what it does, so what can be read ahead is read together, and what is written waits.

local ARGUMENTS_MAX = 2000 -- of one command; Lua's stack bears some thousands
local fetched = {} -- records that were read ahead, false where there is none
local to_set, to_delete, to_keep, to_forget = {}, {}, {}, {} -- records, keys of records, messages, ids of messages
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

-- Write a record of which nothing is needed after a time. Redis forgets it by itself, by its own clock: that
-- of a test may go slower.
local function put_for(record_key, raw, packed, needed_ms)
  if packed ~= raw then call("SET", record_key, packed, "PX", 2 * needed_ms + 1000) end
end

local function time_ms()
  local time = call("TIME")
  return time[1] * 1000 + math.floor(time[2] / 1000)
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

-- The schedule as a whole, and its limits; engine/brokers/redis/codec.py writes the latter.

local STATE = "<BdddddddddddddI2c0I4c0I2c0I2c0"
local GROUP = "<ddddd"
local LIMITS = "<dddddddddddddddddddddddddddddd"

local function unpack_group(raw, at)
  local turn, lines, now, last, members
  turn, lines, now, last, members, at = struct.unpack(GROUP, raw, at)
  return {turn = turn, lines = lines, turns = {now = now, last = last, members = members}}, at
end

local function packed_group(group)
  local among = group.turns
  return struct.pack(GROUP, group.turn, group.lines, among.now, among.last, among.members)
end

-- Of a schedule that was thrown away only this is kept, while its keys are removed: who may begin the next.

local CLEARED = 2
local CLEARED_STATE = "<Bd"

local function cleared_state(incarnation)
  return struct.pack(CLEARED_STATE, CLEARED, incarnation)
end

local function unpack_state(raw)
  if string.byte(raw) == CLEARED then
    local _, incarnation = struct.unpack(CLEARED_STATE, raw)
    return {is_cleared = true, incarnation = incarnation}
  end
  local is_barred, incarnation, clock_ms, number, rings, answered, told_wake_ms, high, normal, low, retry, now, last,
    members, run_id, ceiling, spaced, counts, at = struct.unpack(STATE, raw)
  local unpacked = {
    is_barred = is_barred == 1, incarnation = incarnation, clock_ms = clock_ms, number = number, rings = rings,
    answered = answered, told_wake_ms = some(told_wake_ms), open = {high, normal, low}, retry = retry,
    turns = {now = now, last = last, members = members}, run_id = run_id, ceiling = ceiling,
    ceiling_spacing = spaced, counts = counts, groups = {},
  }
  for place = 1, 3 do unpacked.groups[place], at = unpack_group(raw, at) end
  return unpacked
end

-- Return the record of a schedule whose ceiling is packed already.
local function packed_state(kept)
  local among, high, normal, low = kept.turns, unpack(kept.groups)
  return struct.pack(
    STATE, flag(kept.is_barred), kept.incarnation, kept.clock_ms, kept.number, kept.rings, kept.answered,
    kept.told_wake_ms or NONE, kept.open[1], kept.open[2], kept.open[3], kept.retry, among.now, among.last,
    among.members, #kept.run_id, kept.run_id, #kept.ceiling, kept.ceiling, #kept.ceiling_spacing, kept.ceiling_spacing,
    #kept.counts, kept.counts
  ) .. packed_group(high) .. packed_group(normal) .. packed_group(low)
end

local function limit_of(count, window_ms, burst)
  return {count = count, window_ms = window_ms, burst = burst > 0 and burst}
end

local function unpack_limits(raw)
  local all = {struct.unpack(LIMITS, raw)}
  return {
    version = all[1], saved_up = all[2], guard_ms = all[3], adapt_least = all[4], chat_cap = all[5], bot_cap = all[6],
    shares = {all[7], all[8], all[9]}, ceiling = limit_of(all[10], all[11], all[12]),
    bot = limit_of(all[13], all[14], all[15]), paid = limit_of(all[16], all[17], all[18]),
    purse = limit_of(all[19], all[20], all[21]), chat = limit_of(all[22], all[23], all[24]),
    group = limit_of(all[25], all[26], all[27]), user = limit_of(all[28], all[29], all[30]),
  }
end

local function load_state(state_key)
  state_raw = call("GET", state_key)
  state = state_raw and unpack_state(state_raw) or nil
end

-- Tell whether this is the schedule that the caller means, and return the time that he gives. Who rebuilds one names
-- it, as ``"<given_ms> <incarnation>"``: he may have slept until another has begun it anew.
local function is_meant(given_ms)
  if not string.find(given_ms, " ", 1, true) then return true, given_ms end
  local its_ms, incarnation = string.match(given_ms, "^(%d*) (%d+)$")
  return tonumber(incarnation) == state.incarnation, its_ms
end

-- Load the schedule. ``given_ms`` "" takes the time of Redis; a test gives its own.
-- Return why nothing can be done, if that is so. A full Redis refuses who takes messages in, and nobody else: what it
-- holds must be leased and settled, or it would be full for ever.
local function open(state_key, given_ms, leases, takes_in)
  prefix = string.sub(state_key, 1, -6)
  local raw_limits
  state_raw, raw_limits = unpack(call("MGET", state_key, key.limits()))
  if not state_raw then return {"gone"} end
  state = unpack_state(state_raw)
  if state.is_cleared then return {"gone"} end
  local it_is
  it_is, given_ms = is_meant(given_ms)
  if not it_is then return {"gone"} end
  if leases and state.is_barred then return {"barred"} end
  if not takes_in then call("UNLINK", prefix .. "nothing") end -- only who has removed something may write then
  limits = unpack_limits(raw_limits)
  now_ms = math.max(state.clock_ms, given_ms == "" and time_ms() or tonumber(given_ms))
  state.clock_ms = now_ms
  state.ceiling = gates.unpacked(state.ceiling, limits.ceiling)
  state.ceiling_spacing = spacings.unpacked(state.ceiling_spacing, limits.ceiling, limits.saved_up)
  return nil
end

-- Bots: a head and three lines.

local bot_of, seen_bot, lines_of, save_bot

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

  -- Return the lines of a bot, which most that end a lease do not look at.
  function lines_of(bot)
    if bot.lines then return bot.lines end
    local at = bot.lines_at
    bot.lines = {}
    for place = 1, 3 do at = unpack_line(bot, place, bot.raw, at) end
    return bot.lines
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
      spacing = spacings.unpacked(is_current and spaced, limits.bot, limits.saved_up), lines = nil, lines_at = at,
      chats = {},
    }
    if adapted and bot.gate then bot.gate.places = adapted.places end
    return bot
  end

  -- Return a bot that is only looked at, unless ``bot_of`` is asked for it too.
  function seen_bot(bot_id)
    local bot = bots[bot_id]
    if bot then return bot end
    local raw = read(key.bot(bot_id))
    bot = raw and unpack_bot(bot_id, raw) or fresh_bot(bot_id)
    bots[bot_id] = bot
    return bot
  end

  -- Return a bot that will be written if it has changed.
  function bot_of(bot_id)
    local bot = seen_bot(bot_id)
    bot.is_touched = true
    return bot
  end

  local function rare_of(bot)
    if not bot.adapted and #bot.blames == 0 then return "" end
    return cmsgpack.pack({adapted = bot.adapted, blames = bot.blames})
  end

  local function packed_lines(bot)
    if not bot.lines then return string.sub(bot.raw, bot.lines_at) end
    local high, normal, low = unpack(bot.lines)
    return packed_line(high) .. packed_line(normal) .. packed_line(low)
  end

  function save_bot(bot)
    local gate, spaced, rare = gates.packed(bot.gate), spacings.packed(bot.spacing), rare_of(bot)
    local head = struct.pack(
      BOT_HEAD, flag(bot.is_paused), flag(bot.is_aliased), flag(bot.has_purse), flag(bot.is_short), bot.weight,
      bot.hold_until_ms, bot.doubt_until_ms, bot.waiting, bot.open, bot.special, bot.wake_at_ms or NONE, bot.now,
      bot.last, bot.members, limits.version, #spaced, spaced, #gate, gate, #rare, rare
    )
    put(key.bot(bot.bot_id), bot.raw, head .. packed_lines(bot))
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
  local CHAT_HEAD = "<I4ddI2c0I4c0I2c0B"
  local CHAT_LANE = "<I4ddBI2c0I2c0Bc0"
  local RESTORED_MS = 60000 -- what drained long ago may still weigh on a later send, which another call restores
  local DEBT_KEPT_MS = 3600000 -- how long a lane that went before its turn is remembered while it is silent

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
        chat = chat, line = lines_of(chat.bot)[place], size = 0, turn = 0, wait_until_ms = 0, offered = false,
        offered_as_paid = false, alone = false, user_id = false,
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
    local size, turn, wait_until_ms, offered_as_paid, offered, alone, user_id
    size, turn, wait_until_ms, offered_as_paid, offered, alone, user_id, at = struct.unpack(CHAT_LANE, raw, at)
    chat.lanes[place] = {
      chat = chat, line = lines_of(chat.bot)[place], size = size, turn = turn, wait_until_ms = wait_until_ms,
      offered = offered ~= "" and offered, offered_as_paid = offered_as_paid == 1, alone = alone ~= "" and alone,
      user_id = user_id ~= "" and user_id,
    }
    return at
  end

  local function unpack_chat(bot, chat_id, raw)
    local waiting, hold_until_ms, version, flying, gate, adapted, lanes, at =
      struct.unpack(CHAT_HEAD, raw)
    local chat = {
      bot = bot, chat_id = chat_id, raw = raw, lanes = {}, waiting = waiting, hold_until_ms = hold_until_ms,
      flying = words_of(flying), version = version, adapted = false,
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
      bot = bot, chat_id = chat_id, lanes = {}, waiting = 0, hold_until_ms = 0, flying = {},
      version = limits.version, adapted = false, gate = gates.fresh(limit_of_chat(chat_id)),
    }
    remember(chat)
    return chat
  end

  -- Tell whether an empty lane backs off, has a later turn than a new one would get, or stands in the set of a user.
  local function is_remembered(lane)
    return lane.wait_until_ms > now_ms or lane.turn > lane.line.now + STRIDE or lane.user_id
  end

  local function packed_lane(lane)
    if not lane or (lane.size == 0 and not is_remembered(lane)) then return nil end
    local offered, alone, user_id = lane.offered or "", lane.alone or "", lane.user_id or ""
    return struct.pack(
      CHAT_LANE, lane.size, lane.turn, lane.wait_until_ms, flag(lane.offered_as_paid), #offered, offered, #alone, alone,
      #user_id, user_id
    )
  end

  -- Return for how long a chat is needed of which nothing waits and nothing is in flight.
  local function needed_ms(chat, has_lanes)
    local until_ms = math.max(chat.hold_until_ms, chat.gate and gates.idle_at_ms(chat.gate) or 0)
    if has_lanes then until_ms = math.max(until_ms, now_ms + DEBT_KEPT_MS) end
    if chat.is_restored then until_ms = math.max(until_ms, now_ms + RESTORED_MS) end
    for place = 1, 3 do
      local lane = chat.lanes[place]
      if lane then until_ms = math.max(until_ms, lane.wait_until_ms) end
    end
    return math.max(0, until_ms - now_ms)
  end

  function save_chat(chat)
    local chat_key = key.chat(chat.bot.bot_id, chat.chat_id)
    if chat.is_gone then
      call("DEL", chat_key) -- at once, as it may have been met again
      return
    end
    local flying, gate, lanes = table.concat(chat.flying, " "), gates.packed(chat.gate), chat.lanes
    local adapted = chat.adapted and cmsgpack.pack(chat.adapted) or ""
    local high, normal, low = packed_lane(lanes[1]), packed_lane(lanes[2]), packed_lane(lanes[3])
    local which = (high and 1 or 0) + (normal and 2 or 0) + (low and 4 or 0)
    local head = struct.pack(
      CHAT_HEAD, chat.waiting, chat.hold_until_ms, chat.version, #flying, flying, #gate, gate, #adapted, adapted,
      which
    )
    local packed = head .. (high or "") .. (normal or "") .. (low or "")
    local is_idle = chat.waiting == 0 and flying == "" and not chat.adapted
    local left_ms = is_idle and needed_ms(chat, which > 0)
    if not left_ms then
      put(chat_key, chat.raw, packed)
    elseif left_ms > 0 then
      put_for(chat_key, chat.raw, packed, left_ms)
    elseif chat.raw then
      to_delete[#to_delete + 1] = chat_key
    end
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
    put_for(user.key, user.raw, packed, user.gate.limit.window_ms)
  end
end

-- Messages: one that waits, or is leased under a number; engine/brokers/redis/records.py writes and reads the same
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

local function chat_of_entry(entry)
  local bot = bot_of(entry.bot_id)
  return chat_of(bot, resolve(bot, entry.chat_id))
end

local function lane_of(entry)
  return lane_in(chat_of_entry(entry), entry.place)
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
    if bot.is_touched then
      if bot.purse and bot.has_purse then save_purse(bot) end
      save_bot(bot)
    end
  end
  save_counts()
  state.ceiling = gates.packed(state.ceiling)
  state.ceiling_spacing = spacings.packed(state.ceiling_spacing)
  put(state_key, state_raw, packed_state(state))
  save_leases()
  in_runs("HSET", to_keep, key.messages())
  in_runs("HDEL", to_forget, key.messages())
  in_runs("MSET", to_set)
  in_runs("DEL", to_delete)
  return {"done", cmsgpack.pack(value), unpack(records or {})}
end

return
  BATCH_MAX, TIMERS_MAX, bots, chats, users, entries, lease_ends, packed_state, cleared_state, load_state,
  unpack_limits, open, bot_of, seen_bot, lines_of, purse_of, paid_gate_of, pays, resolve, limit_of_chat, lane_in,
  known_chat, chat_of, user_of, unpack_entry,
  entry_of, fetch_entries, fetch_whose, chat_of_entry, lane_of, told, ring, answer, in_runs, time_ms
end)()
