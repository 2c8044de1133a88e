-- How a lease ends, and what follows from it.
--
-- TWIN  engine/brokers/memory/settlements.py
-- USES  keys spacing windows weighted_window pools failing state bots chats users messages queue holds migration

local
  settle
= (function()

-- Return how much longer a place stays taken while our count of its gate is in doubt.
local function guard_of(gate, chat)
  local bot, doubt_until_ms = chat.bot, 0
  if gate == chat.gate then
    doubt_until_ms = chat.doubt_until_ms
  elseif gate == bot.gate or gate == bot.paid_gate then
    doubt_until_ms = bot.doubt_until_ms
  end
  return doubt_until_ms > now_ms and limits.guard_ms or 0
end

-- Telegram counted ``cost`` places at most; the rest, of which nothing arrived, are free at once.
local function settle_places(entry, chat, counted_at_ms, cost)
  local rest = entry.cost - cost
  for _, gate in ipairs(gates_of(entry, chat)) do
    gates.settle(gate, counted_at_ms, cost, guard_of(gate, chat))
    if rest > 0 then gates.give_back(gate, rest) end
  end
  if rest > 0 and constants.IS_SPACED[entry.index] then
    local bot = chat.bot
    if state.ceiling_spacing then spacings.unspend(state.ceiling_spacing, rest) end
    if bot.spacing and not entry.pays then spacings.unspend(bot.spacing, rest) end
  end
  if entry.pays then
    chat.bot.has_purse = true
    weighted_windows.settle(purse_of(chat.bot), counted_at_ms, cost)
    weighted_windows.settle(purse_of(chat.bot), nil, rest)
  end
end

-- Put a message back at the head of its lane: its id is older than any behind it. An uncounted one that backs off comes
-- back when it is due.
local function give_back(entry)
  local chat = chat_of_entry(entry)
  count_open(entry, 1)
  count_waiting(chat, 1)
  note_edit(chat, entry)
  if entry.cost == 0 and entry.ready_at_ms > now_ms then schedule(entry) else enter(entry) end
  if entry.expires_at_ms then call("ZADD", key.expiries(), entry.expires_at_ms, entry.id) end
end

-- Let a lane or its whole chat wait until its message is tried again; of what is uncounted, the message alone.
local function back_off(entry, until_ms, is_whole_chat)
  if entry.cost == 0 then
    entry.ready_at_ms = until_ms
    return
  end
  local chat = chat_of_entry(entry)
  for index = 1, 3 do
    if is_whole_chat or index == entry.index then
      local lane = lane_in(chat, index)
      lane.wait_until_ms = math.max(lane.wait_until_ms, until_ms)
    end
  end
end

local ending = {}

-- A call that failed delays all lanes of its chat.
function ending.again(entry, attempt, _, alive, delay_ms, is_spent)
  entry.attempt = is_spent and attempt or attempt - 1
  entry.tried = entry.tried or is_spent
  if delay_ms > 0 then back_off(entry, now_ms + delay_ms, alive == "failed") end
  return {}
end

function ending.hold(entry, _, is_near, _, retry_after_ms)
  entry.tried = true
  return throttle(entry, now_ms + retry_after_ms, is_near)
end

function ending.move(entry, _, _, _, to_chat_id)
  local chat = chat_of_entry(entry)
  if chat.chat_id ~= "" then migrate(chat.bot, chat.chat_id, to_chat_id) end
  return {}
end

function ending.pause(entry)
  bot_of(entry.bot_id).is_paused = true
  return {}
end

-- Tell whether anything may go by an end that did not before, or may not go that did. A place that begins to count
-- stays taken: that matters only to what waits for the chat, or for places. But in a bucket it drains only from then
-- on. What is uncounted keeps nothing back.
local function changes_what_may_go(entry, chat, is_done, all_is_counted)
  if entry.cost == 0 then return not is_done end
  if limits.bot.burst or limits.paid.burst then return true end
  return chat.waiting > 0 or chat.bot.is_short or user_of(chat.bot, entry.user_id) or not (is_done and all_is_counted)
end

-- Note what an answer tells of Telegram. Return {begins, after_ms} if the bot is failing from now on, or no longer.
-- What is uncounted waits for no other message of its chat, and tells nothing of the chat.
local function judge(entry, chat, alive)
  local bot, health = chat.bot, chat.bot.health
  if entry.cost > 0 then chat.has_failed = alive == "failed" end
  if alive == "alive" then
    local ended = healths.succeed(health)
    return ended and {false, now_ms - ended.since_ms} or false
  end
  local begins = healths.fail(health, chat.chat_id, function(chat_id) return resolve(bot, chat_id) end)
  return begins and {true, now_ms - health.called_since_ms} or false
end

-- End a lease: {held, holds, {begins, after_ms} if its bot is failing from now on, or no longer}. ``rest`` is what the
-- message is from now on, {method, cost, body}, if a part arrived.
local function settle(message_id, number, incarnation, attempt, counted_age_ms, counted_cost, rest, alive, kind, ...)
  local entry = held(message_id, number, incarnation)
  if not entry then return {false, {}, false} end
  local chat, cost = chat_of_entry(entry), entry.cost
  local is_near = chat.gate and gates.is_near(chat.gate, now_ms) or false
  settle_places(entry, chat, counted_age_ms and now_ms - counted_age_ms, counted_cost)
  pools.finish(state.pool, chat.bot.calls, number, cost)
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
  local is_given_back = alive == "" and healths.give_back(chat.bot.health, entry.id)
  local holds, failing = {}, alive ~= "" and judge(entry, chat, alive)
  if kind == "done" then
    entry.is_gone = true
  else
    holds = ending[kind](entry, attempt, is_near, alive, ...)
    give_back(entry)
  end
  chat = chat_of_entry(entry)
  local is_done, is_whole = kind == "done", counted_age_ms and counted_cost == cost
  if failing or is_given_back or changes_what_may_go(entry, chat, is_done, is_whole) then
    reoffer_user(chat.bot, entry.user_id)
    reoffer_chat(chat)
  end
  return {true, holds, failing}
end

return
  settle
end)()
