-- One bot: its limits, holds and turns, its line of each priority, and what it pays for.
--
-- Its lines 1 to 3 are those of what is counted, by priority; 4 to 6, from their first message on, those of the rest.
--
-- TWIN  engine/brokers/memory/lanes.py (BotState, Line)
-- USES  keys spacing windows weighted_window pools records state failing

local
  bots, lines_of, line_in, uncounted_lines_of, seen_bot, bot_of, save_bot, purse_of, reform_purse, paid_gate_of,
  save_purse, pays, resolve
= (function()

local bots = {} -- those of this call, by id

local UNSURE = 2 -- which lane is the first of a line
local NO_BLAMES = {}
local BOT_HEAD = "<BBBBBddddddddddddddI4c0I4c0I4c0I4c0d"
local BOT_LINE = "<dddddddBI2c0dI2c0"

local function priority_of(index)
  return index <= 3 and index or index - 3
end

-- Read a line, and return where the next begins.
local function unpack_line(bot, index, raw, at)
  local turn, turn_in_bot, now, last, members, in_group, first_turn, has_first, first, offered_cost, offered
  turn, turn_in_bot, now, last, members, in_group, first_turn, has_first, first, offered_cost, offered, at =
    struct.unpack(BOT_LINE, raw, at)
  if has_first == UNSURE then
    first = nil
  elseif has_first == 0 then
    first = false
  end
  bot.lines[index] = {
    bot = bot, index = index, priority = priority_of(index), is_counted = index <= 3,
    is_spaced = constants.IS_SPACED[index], turn = turn, turn_in_bot = turn_in_bot, now = now, last = last,
    members = members, in_group = some(in_group), first = first, first_turn = first_turn,
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

local function fresh_line(bot, index)
  bot.lines[index] = {
    bot = bot, index = index, priority = priority_of(index), is_counted = index <= 3,
    is_spaced = constants.IS_SPACED[index], turn = 0, turn_in_bot = 0, now = 0, last = 0, members = 0, first = false,
    first_turn = 0, offered_cost = 0,
  }
end

local function fresh_bot(bot_id)
  call("SADD", key.bots(), bot_id)
  local bot = {
    bot_id = bot_id, weight = 1, is_paused = false, is_aliased = false, hold_until_ms = 0, doubt_until_ms = 0,
    waiting = 0, open = 0, special = 0, blames = NO_BLAMES, now = 0, last = 0, members = 0, has_purse = false,
    is_short = false, gate = gates.fresh(limits.bot), lines = {}, chats = {}, calls = pools.fresh_calls(),
    spacing = spacings.unpacked(nil, limits.bot, limits.saved_up), health = healths.fresh(), failed_lanes = 0,
    tries_failed = false,
  }
  for index = 1, 3 do fresh_line(bot, index) end
  return bot
end

-- Return the lines of a bot, which most that end a lease do not look at.
local function lines_of(bot)
  if bot.lines then return bot.lines end
  local at = bot.lines_at
  bot.lines = {}
  for index = 1, 3 do at = unpack_line(bot, index, bot.raw, at) end
  if at <= #bot.raw then
    for index = 4, 6 do at = unpack_line(bot, index, bot.raw, at) end
  end
  return bot.lines
end

-- Return a line of a bot, which has those of what is uncounted from then on.
local function line_in(bot, index)
  local lines = lines_of(bot)
  if not lines[index] then
    for each = 4, 6 do fresh_line(bot, each) end
  end
  return lines[index]
end

-- Return the lines of what is uncounted, if the bot has ever had any.
local function uncounted_lines_of(bot)
  local _, _, _, high, normal, low = unpack(lines_of(bot))
  return {high, normal, low}
end

local function unpack_bot(bot_id, raw)
  local is_paused, is_aliased, has_purse, is_short, was_slow, weight, hold_until_ms, doubt_until_ms, waiting,
    open_count, special, wake_at_ms, now, last, members, version, taken, called_since_ms, failed_lanes,
    spaced, gate, rare, began, period, at =
    struct.unpack(BOT_HEAD, raw)
  local is_current = version == limits.version -- what was lowered under other limits is forgotten
  local adapted, blames, health = nil, NO_BLAMES, nil
  if rare ~= "" then
    rare = cmsgpack.unpack(rare)
    adapted, blames, health = is_current and rare.adapted or nil, rare.blames, rare.health
  end
  health = health or healths.fresh()
  health.called_since_ms = called_since_ms
  local bot = {
    bot_id = bot_id, raw = raw, weight = weight, is_paused = is_paused == 1, is_aliased = is_aliased == 1,
    hold_until_ms = hold_until_ms, doubt_until_ms = doubt_until_ms, waiting = waiting, open = open_count,
    special = special, wake_at_ms = some(wake_at_ms), blames = blames, now = now, last = last, members = members,
    adapted = adapted, has_purse = has_purse == 1, is_short = is_short == 1, gate = gates.unpacked(gate, limits.bot),
    spacing = spacings.unpacked(is_current and spaced, limits.bot, limits.saved_up), lines = nil, lines_at = at,
    chats = {}, calls = {taken = taken, began = began, was_slow = was_slow == 1, period = period}, health = health,
    failed_lanes = failed_lanes, tries_failed = false,
  }
  if adapted and bot.gate then bot.gate.places = adapted.places end
  return bot
end

-- Return a bot that is only looked at, unless ``bot_of`` is asked for it too.
local function seen_bot(bot_id)
  local bot = bots[bot_id]
  if bot then return bot end
  local raw = read(key.bot(bot_id))
  bot = raw and unpack_bot(bot_id, raw) or fresh_bot(bot_id)
  bots[bot_id] = bot
  return bot
end

-- Return a bot that will be written if it has changed.
local function bot_of(bot_id)
  local bot = seen_bot(bot_id)
  bot.is_touched = true
  return bot
end

local function rare_of(bot)
  local health = bot.health.failures > 0 and bot.health or nil
  if not bot.adapted and #bot.blames == 0 and not health then return "" end
  return cmsgpack.pack({adapted = bot.adapted, blames = bot.blames, health = health})
end

local function packed_lines(bot)
  if not bot.lines then return string.sub(bot.raw, bot.lines_at) end
  local lines = {}
  for index, line in ipairs(bot.lines) do lines[index] = packed_line(line) end
  return table.concat(lines)
end

local function save_bot(bot)
  local gate, spaced, rare, calls = gates.packed(bot.gate), spacings.packed(bot.spacing), rare_of(bot), bot.calls
  local head = struct.pack(
    BOT_HEAD, flag(bot.is_paused), flag(bot.is_aliased), flag(bot.has_purse), flag(bot.is_short),
    flag(calls.was_slow), bot.weight, bot.hold_until_ms, bot.doubt_until_ms, bot.waiting, bot.open, bot.special,
    bot.wake_at_ms or NONE, bot.now, bot.last, bot.members, limits.version, calls.taken,
    bot.health.called_since_ms, bot.failed_lanes, #spaced, spaced, #gate, gate, #rare, rare, #calls.began, calls.began,
    calls.period
  )
  put(key.bot(bot.bot_id), bot.raw, head .. packed_lines(bot))
end

-- Have the purse of a bot follow the limit.
local function reform_purse(bot)
  weighted_windows.reform(bot.purse, limits.purse.count, limits.purse.window_ms, constants.PURSE_GRAINS)
end

-- Load what a bot pays for; most pay for nothing. A change of it is noted in ``has_purse``.
local function purse_of(bot)
  if bot.purse then return bot.purse end
  local kept
  if bot.has_purse then kept, bot.purse_raw = get(key.purse(bot.bot_id)) end
  kept = kept or {gate = false, taken = 0, spent = {}}
  bot.paid_gate = gates.unpacked(kept.gate, limits.paid)
  bot.purse = {taken = kept.taken, spent = kept.spent}
  reform_purse(bot)
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
  return is_paid and weighted_windows.free_at_ms(purse_of(bot), now_ms, cost) == now_ms
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

return
  bots, lines_of, line_in, uncounted_lines_of, seen_bot, bot_of, save_bot, purse_of, reform_purse, paid_gate_of,
  save_purse, pays, resolve
end)()
