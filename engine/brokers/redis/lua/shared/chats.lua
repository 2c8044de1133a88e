-- One chat of a bot: its limit, hold and messages in flight, and the lanes in which something waits or is owed.
--
-- TWIN  engine/brokers/memory/lanes.py (Chat, Lane)
-- USES  keys windows records state bots
--
-- As chats are many, nothing is kept of the lanes in which nothing waits.

local
  chats, limit_of_chat, lane_in, known_chat, chat_of, is_busy, is_in_failed_chat, save_chat
= (function()

local chats = {} -- those of this call, in the order in which they were read

local CHAT_HEAD = "<I4ddI2c0I4c0I2c0B"
local HAS_FAILED = 2 ^ 6 -- beside which of the six lanes follow
local CHAT_LANE = "<I4ddBI2c0I2c0Bc0"

local function limit_of_chat(chat_id)
  local first = string.sub(chat_id, 1, 1)
  if first == "-" or first == "@" then return limits.group end
  if first == "" or first == "'" then return nil end
  return limits.chat
end

local function lane_in(chat, index)
  local lane = chat.lanes[index]
  if not lane then
    lane = {
      chat = chat, line = line_in(chat.bot, index), size = 0, turn = 0, wait_until_ms = 0, offered = false,
      offered_in = 0, alone = false, user_id = false,
    }
    chat.lanes[index] = lane
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
local function unpack_lane(chat, index, raw, at)
  local size, turn, wait_until_ms, offered_in, offered, alone, user_id
  size, turn, wait_until_ms, offered_in, offered, alone, user_id, at = struct.unpack(CHAT_LANE, raw, at)
  chat.lanes[index] = {
    chat = chat, line = line_in(chat.bot, index), size = size, turn = turn, wait_until_ms = wait_until_ms,
    offered = offered ~= "" and offered, offered_in = offered_in, alone = alone ~= "" and alone,
    user_id = user_id ~= "" and user_id,
  }
  return at
end

local function unpack_chat(bot, chat_id, raw)
  local waiting, hold_until_ms, version, flying, gate, rare, lanes, at =
    struct.unpack(CHAT_HEAD, raw)
  local chat = {
    bot = bot, chat_id = chat_id, raw = raw, lanes = {}, waiting = waiting, hold_until_ms = hold_until_ms,
    flying = words_of(flying), version = version, adapted = false, doubt_until_ms = 0,
    gate = gates.unpacked(gate, limit_of_chat(chat_id)),
  }
  if rare ~= "" then
    rare = cmsgpack.unpack(rare)
    chat.doubt_until_ms = rare.doubt_until_ms
    if rare.adapted and version == limits.version then -- what was lowered under other limits is forgotten
      chat.adapted = rare.adapted
      if chat.gate then chat.gate.places = chat.adapted.places end
    end
  end
  chat.has_failed = lanes >= HAS_FAILED
  lanes = lanes % HAS_FAILED
  local index = 1
  while lanes > 0 do
    if lanes % 2 == 1 then at = unpack_lane(chat, index, raw, at) end
    index, lanes = index + 1, math.floor(lanes / 2)
  end
  return chat
end

-- Return a chat that is remembered, or nil.
local function known_chat(bot, chat_id)
  local chat = bot.chats[chat_id]
  if chat then return not chat.is_gone and chat or nil end
  local raw = read(key.chat(bot.bot_id, chat_id))
  if not raw then return nil end
  chat = unpack_chat(bot, chat_id, raw)
  remember(chat)
  return chat
end

local function chat_of(bot, chat_id)
  local chat = known_chat(bot, chat_id)
  if chat then return chat end
  chat = {
    bot = bot, chat_id = chat_id, lanes = {}, waiting = 0, hold_until_ms = 0, flying = {},
    version = limits.version, adapted = false, doubt_until_ms = 0, gate = gates.fresh(limit_of_chat(chat_id)),
    has_failed = false,
  }
  remember(chat)
  return chat
end

-- Tell whether anything of it waits or is in flight.
local function is_busy(chat)
  return chat.waiting > 0 or #chat.flying > 0
end

-- Tell whether its chat has failed; what is uncounted is no part of that.
local function is_in_failed_chat(lane)
  return lane.chat.has_failed and lane.line.is_counted
end

-- Tell whether an empty lane backs off, has a later turn than a new one would get, or stands in the set of a user.
local function is_remembered(lane)
  return lane.wait_until_ms > now_ms or lane.turn > lane.line.now + constants.STRIDE or lane.user_id
end

local function packed_lane(lane)
  if not lane or (lane.size == 0 and not is_remembered(lane)) then return nil end
  local offered, alone, user_id = lane.offered or "", lane.alone or "", lane.user_id or ""
  return struct.pack(
    CHAT_LANE, lane.size, lane.turn, lane.wait_until_ms, lane.offered_in, #offered, offered, #alone, alone,
    #user_id, user_id
  )
end

-- Return for how long a chat is needed of which nothing waits and nothing is in flight.
local function needed_ms(chat, has_lanes)
  local until_ms = math.max(chat.hold_until_ms, chat.gate and gates.idle_at_ms(chat.gate) or 0)
  until_ms = math.max(until_ms, chat.doubt_until_ms, chat.adapted and chat.adapted.kept_until_ms or 0)
  if has_lanes then until_ms = math.max(until_ms, now_ms + constants.DEBT_KEPT_MS) end
  if chat.is_restored then until_ms = math.max(until_ms, now_ms + constants.RESTORED_MS) end
  for index = 1, 6 do
    local lane = chat.lanes[index]
    if lane then until_ms = math.max(until_ms, lane.wait_until_ms) end
  end
  return math.max(0, until_ms - now_ms)
end

-- What few chats have: a lowered limit, or a count in doubt.
local function rare_of(chat)
  if not chat.adapted and chat.doubt_until_ms <= now_ms then return "" end
  return cmsgpack.pack({adapted = chat.adapted, doubt_until_ms = chat.doubt_until_ms})
end

local function save_chat(chat)
  local chat_key = key.chat(chat.bot.bot_id, chat.chat_id)
  if chat.is_gone then
    call("DEL", chat_key) -- at once, as it may have been met again
    return
  end
  local flying, gate, lanes = table.concat(chat.flying, " "), gates.packed(chat.gate), chat.lanes
  local rare = rare_of(chat)
  local high, normal, low = packed_lane(lanes[1]), packed_lane(lanes[2]), packed_lane(lanes[3])
  local which = (high and 1 or 0) + (normal and 2 or 0) + (low and 4 or 0)
  local uncounted = ""
  for index = 4, 6 do
    local lane = packed_lane(lanes[index])
    if lane then which, uncounted = which + 2 ^ (index - 1), uncounted .. lane end
  end
  local head = struct.pack(
    CHAT_HEAD, chat.waiting, chat.hold_until_ms, chat.version, #flying, flying, #gate, gate, #rare, rare,
    which + (chat.has_failed and HAS_FAILED or 0)
  )
  local packed = head .. (high or "") .. (normal or "") .. (low or "") .. uncounted
  local is_idle = chat.waiting == 0 and flying == ""
  local left_ms = is_idle and needed_ms(chat, which > 0)
  if not left_ms then
    put(chat_key, chat.raw, packed)
  elseif left_ms > 0 then
    put_for(chat_key, chat.raw, packed, left_ms)
  elseif chat.raw then
    to_delete[#to_delete + 1] = chat_key
  end
end

return
  chats, limit_of_chat, lane_in, known_chat, chat_of, is_busy, is_in_failed_chat, save_chat
end)()
