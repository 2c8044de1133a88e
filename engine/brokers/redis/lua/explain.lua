-- Tell why a message still waits.
--
-- TWIN  engine/brokers/memory/explain.py
--
-- KEYS
--   1 state  string  the queue as a whole
-- ARGV
--   1 now_ms ("": the time of Redis)  2 message_id
-- RETURNS
--   {"done", {waits_at, before_in_lane, before_in_line, earliest_at_ms or false}}
--   {"done", {}}  it does not wait here
--   {"gone"}      nothing was done
-- COST  O(messages of its lane + chats of its bot)
-- USES  keys spacing windows pools failing state bots chats users messages lanes queue answer

local state_key = unpack(KEYS)
local given_ms, message_id = unpack(ARGV)

local refused = open(state_key, given_ms)
if refused then return refused end

pass_time()
local entry = entry_of(message_id)
if not entry or entry.number > 0 then return answer(state_key, {}) end

local lane = lane_of(entry)
local chat, line = lane.chat, lane.line
local bot = chat.bot
local head = head_of(lane)

-- The messages of its lane that go before it, and itself.
local function until_it()
  write_out(lane)
  local found = {}
  for _, member in ipairs(call("ZRANGEBYLEX", lane_key(lane), "-", "(" .. entry.position)) do
    found[#found + 1] = entry_of(front_in(member).id)
  end
  found[#found + 1] = entry
  return found
end

local function turn_of(each)
  return each.size > 0 and each.turn or math.max(each.turn, line.now + constants.STRIDE)
end

-- Count what the other lanes of its line send before it, as turns go round.
local function overtaking(rounds)
  local first = head and is_before(head.position, entry.position) and head.position or entry.position
  local turn, sum = turn_of(lane), 0
  for _, chat_id in ipairs(call("SMEMBERS", key.lanes(bot.bot_id, line.index))) do
    if chat_id ~= chat.chat_id then
      local other = known_chat(bot, chat_id).lanes[line.index]
      local position = head_of(other).position
      local overtakes = other.turn < turn or (other.turn == turn and is_before(position, first))
      sum = sum + math.min(other.size, rounds + (overtakes and 1 or 0))
    end
  end
  return sum
end

local function is_full(gate, cost)
  return gate and gates.ready_at_ms(gate, now_ms, cost) ~= now_ms
end

local function is_too_soon(spacing, cost)
  return line.is_spaced and spacing and spacings.free_at_ms(spacing, now_ms, cost) > now_ms
end

-- Tell whether the free places of the ceiling are left to other bots, or to high.
local function is_left_to_others()
  local places = limits.ceiling.places
  if line.is_spaced and pools.is_left_for_high(state.pool, places) then return true end
  return not pools.may_begin(state.pool, places, bot.calls)
end

local function waits_at()
  if not entry.is_due then return entry.tried and "backoff" or "scheduled" end
  local front = head or entry
  local is_failing = healths.tried_at_ms(bot.health, is_in_failed_chat(lane)) > now_ms
  if not line.is_counted then
    if chat.hold_until_ms > now_ms then return "chat_held" end
    if bot.is_paused then return "bot_paused" end
    if bot.hold_until_ms > now_ms then return "bot_held" end
    return is_failing and "bot_failing" or "turn"
  end
  local cost, user = front.cost, user_of(bot, front.user_id)
  local it_pays = pays(bot, front.is_paid, cost)
  local of_bot = bot.gate
  if it_pays then of_bot = paid_gate_of(bot) end
  if lane.wait_until_ms > now_ms then return "backoff" end
  if #chat.flying > 0 then return "chat_in_flight" end
  if chat.hold_until_ms > now_ms then return "chat_held" end
  if is_full(chat.gate, cost) then return "chat_window" end
  if is_full(user and user.gate, cost) then return "user_window" end
  if bot.is_paused then return "bot_paused" end
  if bot.hold_until_ms > now_ms then return "bot_held" end
  if is_failing then return "bot_failing" end
  if is_full(of_bot, cost) then return "bot_window" end
  if not it_pays and is_too_soon(bot.spacing, cost) then return "spacing" end
  if is_full(state.ceiling, cost) or is_left_to_others() then return "ceiling" end
  if is_too_soon(state.ceiling_spacing, cost) then return "spacing" end
  return "turn"
end

local function costs_of(messages, counts)
  local costs = {}
  for _, each in ipairs(messages) do
    if counts(each) then costs[#costs + 1] = each.cost end
  end
  return costs
end

-- Return when the last of them may go if they were alone.
local function earliest_at_ms(messages)
  if bot.is_paused then return false end
  local own_ms = entry.is_due and 0 or entry.ready_at_ms
  local at_ms = math.max(now_ms, own_ms, lane.wait_until_ms, chat.hold_until_ms, bot.hold_until_ms)
  at_ms = math.max(at_ms, healths.tried_at_ms(bot.health, is_in_failed_chat(lane)))
  if not line.is_counted then return at_ms end
  local function wait_for(gate, spacing, costs)
    if #costs == 0 then return end
    if gate then at_ms = math.max(at_ms, gates.earliest_ms(gate, now_ms, costs)) end
    if spacing and line.is_spaced then at_ms = math.max(at_ms, spacings.earliest_ms(spacing, now_ms, costs)) end
  end
  local all = costs_of(messages, function() return true end)
  wait_for(chat.gate, nil, all)
  wait_for(state.ceiling, state.ceiling_spacing, all)
  wait_for(bot.gate, bot.spacing, costs_of(messages, function(each) return not each.is_paid end))
  local user = user_of(bot, entry.user_id)
  if user then
    wait_for(user.gate, nil, costs_of(messages, function(each) return each.user_id == entry.user_id end))
  end
  return at_ms
end

local messages = until_it()
local before = #messages - 1
return answer(state_key, {waits_at(), before, before + overtaking(before), earliest_at_ms(messages)})
