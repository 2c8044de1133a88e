-- How a lease ends, and holds.
--
-- TWIN  engine/brokers/memory/leases.py
-- USES  keys windows state bots chats users messages lanes queue

local
  hold, migrate, settle
= (function()

local function hold(bot, chat_id, until_ms)
  if chat_id == "" then
    bot.hold_until_ms = math.max(bot.hold_until_ms, until_ms)
    reoffer(bot)
    return {bot.bot_id, "", bot.hold_until_ms}
  end
  local chat = chat_of(bot, resolve(bot, chat_id))
  chat.hold_until_ms = math.max(chat.hold_until_ms, until_ms)
  reoffer_chat(chat)
  return {bot.bot_id, chat.chat_id, chat.hold_until_ms}
end

-- Telegram counted ``cost`` places; those of the rest, of which nothing arrived, are free at once.
local function settle_places(entry, chat, counted_at_ms, cost)
  local rest = entry.cost - cost
  local guard_ms = chat.bot.doubt_until_ms > now_ms and limits.guard_ms or 0
  for _, gate in ipairs(gates_of(entry, chat)) do
    gates.settle(gate, counted_at_ms, cost, guard_ms)
    if rest > 0 then gates.settle(gate, nil, rest, 0) end
  end
  if entry.pays then
    chat.bot.has_purse = true
    purses.settle(purse_of(chat.bot), counted_at_ms, cost)
    purses.settle(purse_of(chat.bot), nil, rest)
  end
end

-- Hold a chat, and its bot too when a second chat gives evidence that the bot is meant.
local function throttle(entry, until_ms, is_near)
  local chat = chat_of_entry(entry)
  local bot = chat.bot
  local holds = {hold(bot, chat.chat_id, until_ms)}
  if is_near then return holds end
  bot.doubt_until_ms = now_ms + constants.DOUBT_MS
  local blames, blamed = {}, {}
  for _, blame in ipairs(bot.blames) do
    if blame[1] >= now_ms - constants.BLAME_MS then blames[#blames + 1] = blame end
  end
  blames[#blames + 1] = {now_ms, chat.chat_id}
  bot.blames = blames
  local count = 0
  for _, blame in ipairs(blames) do
    local chat_id = resolve(bot, blame[2])
    if not blamed[chat_id] then blamed[chat_id], count = true, count + 1 end
  end
  local of_bot = bot.gate
  if entry.pays then of_bot = paid_gate_of(bot) end
  if not of_bot or not gates.is_near(of_bot, now_ms) then
    if count < 2 then
      lower_limit(chat, limit_of_chat(chat.chat_id))
    elseif not entry.pays then
      lower_limit(bot, limits.bot)
    end
  end
  if count > 1 then holds[2] = hold(bot, "", until_ms) end
  return holds
end

-- Put a message back at the head of its lane: its id is older than any behind it.
local function give_back(entry)
  local chat = chat_of_entry(entry)
  count_open(entry, 1)
  count_waiting(chat, 1)
  note_edit(chat, entry)
  enter(entry)
  if entry.expires_at_ms then call("ZADD", key.expiries(), entry.expires_at_ms, entry.id) end
end

-- Move what one set holds to another.
local function unite(command, to, from)
  if command == "ZUNIONSTORE" then
    call(command, to, 2, to, from)
  else
    call(command, to, to, from)
  end
  call("DEL", from)
end

-- Let two ids be one chat.
local function migrate(bot, from_chat_id, to_chat_id)
  local old_id, new_id = resolve(bot, from_chat_id), resolve(bot, to_chat_id)
  if old_id == "" or new_id == "" or old_id == new_id then return end
  local old, bot_id = known_chat(bot, old_id), bot.bot_id
  call("HSET", key.aliases(bot_id), old_id, new_id)
  bot.is_aliased, bot.aliases = true, bot.aliases or {}
  bot.aliases[old_id] = new_id
  if not old then return end
  local new = chat_of(bot, new_id)
  new.hold_until_ms = math.max(new.hold_until_ms, old.hold_until_ms)
  if old.gate and new.gate then gates.absorb(new.gate, old.gate) end
  for _, message_id in ipairs(old.flying) do table.insert(new.flying, message_id) end
  new.waiting = new.waiting + old.waiting
  for place = 1, 3 do -- all lanes leave before one enters: what is left empty forgets its debts
    local lane = old.lanes[place]
    if lane then
      withdraw(lane)
      note_user(lane, nil)
      call("ZREM", key.timers(), "lane " .. bot_id .. " " .. place .. " " .. old_id)
      if lane.size > 0 then end_to_wait(lane) end
    end
  end
  call("ZREM", key.timers(), "limit " .. bot_id .. " " .. old_id)
  for place = 1, 3 do
    local lane = old.lanes[place]
    if lane then
      local new_lane = lane_in(new, place)
      new_lane.wait_until_ms = math.max(new_lane.wait_until_ms, lane.wait_until_ms)
      if lane.size > 0 then
        write_out(lane)
        write_out(new_lane)
        unite("ZUNIONSTORE", lane_key(new_lane), lane_key(lane))
        if new_lane.size == 0 then begin_to_wait(new_lane) end
        new_lane.size = new_lane.size + lane.size
      end
    end
  end
  unite("ZUNIONSTORE", key.edits(bot_id, new_id), key.edits(bot_id, old_id))
  unite("SUNIONSTORE", key.later(bot_id, new_id), key.later(bot_id, old_id))
  old.is_gone = true
  reoffer_chat(new)
end

local ending = {}

function ending.again(entry, attempt, _, delay_ms, is_spent)
  entry.attempt = is_spent and attempt or attempt - 1
  entry.tried = entry.tried or is_spent
  if delay_ms > 0 then
    local lane = lane_of(entry)
    lane.wait_until_ms = math.max(lane.wait_until_ms, now_ms + delay_ms)
  end
  return {}
end

function ending.hold(entry, _, is_near, retry_after_ms)
  entry.tried = true
  return throttle(entry, now_ms + retry_after_ms, is_near)
end

function ending.move(entry, _, _, to_chat_id)
  local chat = chat_of_entry(entry)
  if chat.chat_id ~= "" then migrate(chat.bot, chat.chat_id, to_chat_id) end
  return {}
end

function ending.pause(entry)
  bot_of(entry.bot_id).is_paused = true
  return {}
end

-- End a lease: {held, holds}. ``rest`` is what the message is from now on, {method, cost, body}, if a part arrived.
local function settle(message_id, number, incarnation, attempt, counted_age_ms, counted_cost, rest, kind, ...)
  local entry = held(message_id, number, incarnation)
  if not entry then return {false, {}} end
  local chat, cost = chat_of_entry(entry), entry.cost
  local is_near = chat.gate and gates.is_near(chat.gate, now_ms) or false
  settle_places(entry, chat, counted_age_ms and now_ms - counted_age_ms, counted_cost)
  count_open(entry, -1)
  if rest then entry.method, entry.cost, entry.body = unpack(rest) end
  lease_ends[entry.id] = false
  entry.number = 0
  for place, flying in ipairs(chat.flying) do
    if flying == entry.id then
      table.remove(chat.flying, place)
      break
    end
  end
  local holds = {}
  if kind == "done" then
    entry.is_gone = true
  else
    holds = ending[kind](entry, attempt, is_near, ...)
    give_back(entry)
  end
  chat = chat_of_entry(entry)
  -- A place that begins to count stays taken: that matters only to what waits for the chat, or for places.
  local counted_all = counted_age_ms and counted_cost == cost and kind == "done"
  if chat.waiting > 0 or chat.bot.is_short or user_of(chat.bot, entry.user_id) or not counted_all then
    reoffer_user(chat.bot, entry.user_id)
    reoffer_chat(chat)
  end
  return {true, holds}
end

return
  hold, migrate, settle
end)()
