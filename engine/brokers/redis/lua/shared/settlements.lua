-- How a lease ends, and what follows from it.
--
-- TWIN  engine/brokers/memory/settlements.py
-- USES  keys windows state bots users messages queue holds migration

local
  settle
= (function()

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

-- Put a message back at the head of its lane: its id is older than any behind it.
local function give_back(entry)
  local chat = chat_of_entry(entry)
  count_open(entry, 1)
  count_waiting(chat, 1)
  note_edit(chat, entry)
  enter(entry)
  if entry.expires_at_ms then call("ZADD", key.expiries(), entry.expires_at_ms, entry.id) end
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
  for index, flying in ipairs(chat.flying) do
    if flying == entry.id then
      table.remove(chat.flying, index)
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
  settle
end)()
