-- Which lines may go, what enters and leaves the queue, and what time brings.
--
-- TWIN  engine/brokers/memory/queue.py
-- USES  keys numbers spacing windows weighted_window aimd fair_queue failing state bots chats users messages lanes

local
  reoffer, reoffer_chat, reoffer_user, count_open, count_waiting, schedule, enter, pull_out, remove, lower_limit,
  use_limit, pass_time, first_at_ms, expire, expire_some
= (function()

-- Return when a purse will suffice for what goes as a free one until then.
local function pays_later_at_ms(line, front)
  if not front.is_paid then return nil end
  local pays_at_ms = weighted_windows.free_at_ms(purse_of(line.bot), now_ms, front.cost)
  return pays_at_ms ~= now_ms and pays_at_ms or nil
end

-- Return when its bot has places for a front.
local function fits_at_ms(line, front)
  local bot = line.bot
  if pays(bot, front.is_paid, front.cost) then
    return both_free_at_ms(paid_gate_of(bot), nil, front.cost, now_ms)
  end
  local free_at_ms = both_free_at_ms(bot.gate, line.is_spaced and bot.spacing or nil, front.cost, now_ms)
  return sooner(free_at_ms, pays_later_at_ms(line, front))
end

local function ranks_before(line, other)
  local among = line.bot
  local mine, yours = turns.rank(among, line.turn_in_bot), turns.rank(among, other.turn_in_bot)
  return mine < yours or (mine == yours and line.index < other.index)
end

-- Return until when a front of more than one place that ranks before saves up; ``now_ms`` if none does.
local function saved_up_until_ms(line, front)
  local bot = line.bot
  local it_pays = pays(bot, front.is_paid, front.cost)
  for index = 1, 3 do
    local other_line = lines_of(bot)[index]
    if other_line.members > 0 and (other_line == line or ranks_before(other_line, line)) then
      for _, other in ipairs(fronts_of(other_line)) do
        if other_line == line and other.member == front.member then break end
        if other.cost > 1 and pays(bot, other.is_paid, other.cost) == it_pays then
          local other_fits_at_ms = fits_at_ms(other_line, other)
          if other_fits_at_ms ~= now_ms then return other_fits_at_ms end
        end
      end
    end
  end
  return now_ms
end

-- Return until when a bot is held, by a 429 or because it is failing and no trial is due.
local function held_until_ms(bot)
  return math.max(bot.hold_until_ms, healths.tried_at_ms(bot.health, bot.tries_failed))
end

-- Return when a front may leave its bot; nil if only an event can tell.
local function front_ready_at_ms(line, front)
  local bot = line.bot
  if bot.is_paused then return nil end
  local until_ms = held_until_ms(bot)
  if until_ms > now_ms then return until_ms end
  local saves_until_ms = saved_up_until_ms(line, front)
  if saves_until_ms ~= now_ms then
    return sooner(saves_until_ms, pays_later_at_ms(line, front))
  end
  return fits_at_ms(line, front)
end

local function join_group(line)
  if line.in_group ~= line.turn then
    firsts[line.index] = nil
    call("ZADD", key.group(line.index), line.turn, number_of(line.bot))
    line.in_group = line.turn
  end
end

-- Put a line among those of its priority that may go, and return when it is to be looked at again.
local function offer_line(line)
  local wake_at_ms
  line.offered = nil
  for _, front in ipairs(fronts_of(line)) do
    local ready_at_ms = front_ready_at_ms(line, front)
    if ready_at_ms == now_ms then
      if not line.offered then line.offered, line.offered_cost = front.member, front.cost end
      ready_at_ms = pays_later_at_ms(line, front)
    end
    wake_at_ms = sooner(wake_at_ms, ready_at_ms)
  end
  if line.offered then join_group(line) else leave_group(line) end
  return wake_at_ms
end

-- Return when a bot has one free place; nil if only an event can tell.
local function one_place_at_ms(bot)
  if bot.is_paused then return nil end
  local until_ms = held_until_ms(bot)
  if until_ms > now_ms then return until_ms end
  return bot.gate and gates.ready_at_ms(bot.gate, now_ms, 1) or not bot.gate and now_ms or nil
end

-- Each front takes one place of the same window, so the times of one are the times of all.
local function reoffer_singles(bot)
  local high_at_ms = one_place_at_ms(bot)
  bot.is_short = bot.is_short and high_at_ms ~= now_ms
  local spaced_at_ms, wake_at_ms = high_at_ms, nil
  if high_at_ms and bot.spacing then
    spaced_at_ms = math.max(high_at_ms, spacings.free_at_ms(bot.spacing, now_ms, 1))
  end
  for index = 1, 3 do
    local line = lines_of(bot)[index]
    local front = line.members > 0 and first_ready(line)
    local at_ms = high_at_ms
    if line.is_spaced then at_ms = spaced_at_ms end
    line.offered = nil
    if front and at_ms == now_ms then
      line.offered, line.offered_cost = front, 1
      join_group(line)
    else
      leave_group(line)
      if front then wake_at_ms = sooner(wake_at_ms, at_ms) end
    end
  end
  return wake_at_ms
end

-- Offer the lines of what takes no place, and return when a hold of their bot lets them go.
local function reoffer_uncounted(bot)
  local until_ms, is_waiting = held_until_ms(bot), false
  local is_held = bot.is_paused or until_ms > now_ms
  for _, line in ipairs(uncounted_lines_of(bot)) do
    local front = line.members > 0 and first_ready(line)
    line.offered = nil
    if front and not is_held then
      line.offered, line.offered_cost = front, 0
      join_group(line)
    else
      leave_group(line)
      is_waiting = is_waiting or front
    end
  end
  return is_waiting and not bot.is_paused and until_ms or nil
end

-- While a bot is failing, its chats that have not failed are tried first.
local function choose_what_is_tried(bot)
  bot.tries_failed = bot.health.failing ~= nil
  for _, line in ipairs(lines_of(bot)) do
    line.fronts = nil
    if bot.tries_failed and has_untroubled(line) then bot.tries_failed = false end
  end
end

-- Put the lines of a bot among those of their priorities that may go, and set its timer for the others.
local function reoffer(bot)
  local wake_at_ms
  if bot.health.failing or bot.failed_lanes > 0 then choose_what_is_tried(bot) end
  bot.is_short = bot.members > 0 -- something waits for its places
  if bot.special > 0 then
    for index = 1, 3 do
      local line = lines_of(bot)[index]
      if line.members > 0 then wake_at_ms = sooner(wake_at_ms, offer_line(line)) end
    end
  else
    wake_at_ms = reoffer_singles(bot)
  end
  if lines_of(bot)[4] then wake_at_ms = sooner(wake_at_ms, reoffer_uncounted(bot)) end
  if bot.wake_at_ms ~= wake_at_ms then
    bot.wake_at_ms = wake_at_ms
    if wake_at_ms then
      set_timer("bot " .. bot.bot_id, wake_at_ms)
    else
      call("ZREM", key.timers(), "bot " .. bot.bot_id)
    end
  end
end

local function reoffer_chat(chat)
  chat.version = limits.version
  for index = 1, 6 do
    local lane = chat.lanes[index]
    if lane and lane.size > 0 then offer_lane(lane) end
  end
  reoffer(chat.bot)
end

-- Look again at the lanes that wait for a user's places, in whatever chats; then the bot is looked at.
local function reoffer_user(bot, user_id)
  if not user_of(bot, user_id) then return end
  for _, member in ipairs(call("SMEMBERS", key.user_lanes(bot.bot_id, user_id))) do
    local index, chat_id = string.match(member, "^(%d) (.*)$")
    local chat = known_chat(bot, chat_id)
    local lane = chat and chat.lanes[tonumber(index)]
    if lane then offer_lane(lane) end
  end
end

-- Look at one lane again, and at its bot if what its line offers is another message now.
local function offer(lane)
  local line = lane.line
  local before = first_ready(line)
  offer_lane(lane)
  if line.bot.special > 0 or line.bot.health.failing or first_ready(line) ~= before then reoffer(line.bot) end
end

-- What is counted

local function count_open(entry, by)
  local bot = bot_of(entry.bot_id)
  bot.open = bot.open + by
  if entry.tried and entry.number == 0 then
    state.retry = state.retry + by
  else
    state.open[entry.index] = state.open[entry.index] + by
  end
end

local function count_waiting(chat, by)
  chat.waiting = chat.waiting + by
  chat.bot.waiting = chat.bot.waiting + by
end

-- In and out of the lanes

-- Let a message wait outside of its lane until it is due.
local function schedule(entry)
  entry.is_due, entry.is_changed = false, true
  local chat = chat_of_entry(entry)
  call("SADD", key.later(chat.bot.bot_id, chat.chat_id), entry.id)
  set_timer("message " .. entry.id, entry.ready_at_ms)
end

-- Put a due message into its lane.
local function enter(entry)
  local lane = lane_of(entry)
  entry.is_due, entry.is_changed = true, true
  put_in(lane, member_of(entry))
  note_special(entry, 1)
  if lane.size == 1 then begin_to_wait(lane) end
  offer(lane)
end

-- Take a message out of where it waits: its lane, or what is scheduled.
local function pull_out(entry)
  local lane = lane_of(entry)
  local chat = lane.chat
  if entry.is_due then
    leave(entry)
    entry.is_due, entry.is_changed = false, true
    offer(lane)
    if is_special(entry) then reoffer(lane.line.bot) end -- its line may have offered it beside a free one
  else
    call("SREM", key.later(chat.bot.bot_id, chat.chat_id), entry.id)
    call("ZREM", key.timers(), "message " .. entry.id)
  end
end

-- Forget a waiting message.
local function remove(entry)
  local chat = chat_of_entry(entry)
  entry.is_gone = true
  count_open(entry, -1)
  count_waiting(chat, -1)
  forget_edit(chat, entry)
  if entry.expires_at_ms then call("ZREM", key.expiries(), entry.id) end
  pull_out(entry)
end

-- Limits that a 429 has lowered

local function adapt(scope, adapted)
  scope.gate.places = adapted.places
  if scope.bot_id and scope.spacing then spacings.narrow(scope.spacing, adapted.places, now_ms) end
  scope.adapted = adapted.places < adapted.full and adapted -- or false
end

-- Let a chat or a bot use less of its limit, of whose places ``refused`` were not taken by Telegram.
local function lower_limit(scope, limit, until_ms, refused)
  if not scope.gate or not limit then return end
  local counted = gates.counted(scope.gate, now_ms)
  local adapted = scope.adapted or adaptive.fresh(limit, limits.adapt_least)
  adaptive.lower(adapted, now_ms, until_ms, counted and counted - refused)
  adapt(scope, adapted)
end

-- Let a lowered limit rise if it was used; at a lease, so what is offered is looked at again anyway.
local function use_limit(scope)
  local adapted = scope.adapted
  if not adapted or not scope.gate then return end
  local places = adapted.places
  adaptive.use(adapted, now_ms, gates.ready_at_ms(scope.gate, now_ms, 1) ~= now_ms)
  if adapted.places ~= places then adapt(scope, adapted) end
end

-- Time

local on_time = {}

function on_time.message(message_id)
  local entry = entry_of(message_id)
  if not entry or entry.is_due or entry.number > 0 then return end
  local lane = lane_of(entry)
  call("SREM", key.later(lane.chat.bot.bot_id, lane.chat.chat_id), entry.id)
  enter(entry)
end

function on_time.bot(bot_id)
  local bot = bot_of(bot_id)
  bot.wake_at_ms = nil
  reoffer(bot)
end

function on_time.lane(bot_id, place_and_chat)
  local index, chat_id = string.match(place_and_chat, "^(%d) (.*)$")
  local chat = known_chat(bot_of(bot_id), chat_id)
  local lane = chat and chat.lanes[tonumber(index)]
  if lane and lane.size > 0 then offer(lane) end
end

-- Let everything happen that is due by now.
local function pass_time()
  local due = call("ZRANGEBYSCORE", key.timers(), "-inf", now_ms, "LIMIT", 0, constants.TIMERS_MAX)
  more_is_due = #due == constants.TIMERS_MAX
  if #due == 0 then return end
  call("ZREM", key.timers(), unpack(due))
  local timers, owners = {}, {}
  for index, member in ipairs(due) do
    timers[index] = {string.match(member, "^(%l+) (%S+) ?(.*)$")}
    local kind, bot_id, place_and_chat = unpack(timers[index])
    if kind == "lane" then owners[#owners + 1] = {bot_id, string.sub(place_and_chat, 3)} end
  end
  fetch_chats(owners)
  for _, timer in ipairs(timers) do on_time[timer[1]](timer[2], timer[3]) end
end

local function first_at_ms(sorted_key)
  return tonumber(call("ZRANGE", sorted_key, 0, 0, "WITHSCORES")[2])
end

-- Forget an expired message, and return it as it is to be recorded.
local function expire(entry, records)
  local message_id = report(records, entry)
  remove(entry)
  return message_id
end

-- Forget what expired first, EXPIRED_MAX messages at most, and return it.
local function expire_some(records)
  local gone = call("ZRANGEBYSCORE", key.expiries(), "-inf", now_ms, "LIMIT", 0, constants.EXPIRED_MAX)
  fetch_entries(gone)
  local owners, expired = {}, {}
  for index, message_id in ipairs(gone) do
    local entry = entry_of(message_id)
    owners[index] = {entry.bot_id, entry.chat_id}
  end
  fetch_chats(owners)
  for index, message_id in ipairs(gone) do expired[index] = expire(entry_of(message_id), records) end
  return expired
end

return
  reoffer, reoffer_chat, reoffer_user, count_open, count_waiting, schedule, enter, pull_out, remove, lower_limit,
  use_limit, pass_time, first_at_ms, expire, expire_some
end)()
