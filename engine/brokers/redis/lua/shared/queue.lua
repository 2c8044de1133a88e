-- What waits, until when, and which of it may go: see engine/brokers/memory/queue.py, step for step.

local
  set_timer, member_of, front_in, lane_key, head_of, write_out, put_in, take_out, note_special, begin_to_wait, firsts,
  end_to_wait, leave, withdraw, is_before, note_user, offer_lane, reoffer, reoffer_chat, reoffer_user, count_open,
  count_waiting, note_edit, forget_edit, newest_edit, enter, remove, lower_limit, pass_time, first_at_ms, expire,
  held, gates_of
= (function()

local schedule = {}

-- A bot's id in a sorted set, so that of two with the same pass the lower comes first.
local function number_of(bot)
  bot.number = bot.number or string.rep("0", 20 - #bot.bot_id) .. bot.bot_id
  return bot.number
end

local function set_timer(owner, at_ms)
  call("ZADD", key.timers(), at_ms, owner)
end

-- Lanes

-- Tell whether it takes anything but one free place of its bot; ``special`` counts those in its lanes.
local function is_special(entry)
  return entry.cost ~= 1 or entry.is_paid
end

-- In its lane a message stands under its position, and with it all that is asked of a head: its own id, if it is in
-- the place of another, its cost, its user. Of most that is nothing.
local function member_of(entry)
  local id, position = entry.id, entry.position
  if position == id and not entry.user_id and not is_special(entry) then return id end
  return string.format("%s %s %d%s%s", position, id, entry.cost, entry.is_paid and "p" or "f", entry.user_id or "")
end

local function front_in(member)
  if not string.find(member, " ", 1, true) then
    return {position = member, id = member, cost = 1, is_paid = false, user_id = false}
  end
  local position, id, cost, is_paid, user_id = string.match(member, "^(%S+) (%S+) (%d+)(%l)(.*)$")
  return {
    position = position, id = id, cost = tonumber(cost), is_paid = is_paid == "p", user_id = user_id ~= "" and user_id,
  }
end

local function lane_key(lane)
  lane.key = lane.key or key.lane(lane.chat.bot.bot_id, lane.line.place, lane.chat.chat_id)
  return lane.key
end

local function head_of(lane)
  if lane.size == 0 then return nil end
  return front_in(lane.alone or call("ZRANGE", lane_key(lane), 0, 0)[1])
end

-- One message that waits alone stands in the record of its chat: two keys are dear for what is there for a moment.

local function write_out(lane)
  if lane.alone then call("ZADD", lane_key(lane), 0, lane.alone) end
  lane.alone = false
end

local function put_in(lane, member)
  if lane.size == 0 then
    lane.alone = member
  else
    write_out(lane)
    call("ZADD", lane_key(lane), 0, member)
  end
  lane.size = lane.size + 1
end

local function take_out(lane, member)
  if not lane.alone then call("ZREM", lane_key(lane), member) end
  lane.alone = false
  lane.size = lane.size - 1
end

local function note_special(entry, by)
  if is_special(entry) then
    local bot = bot_of(entry.bot_id)
    bot.special = bot.special + by
  end
end

local function begin_to_wait(lane)
  local line, bot = lane.line, lane.chat.bot
  local group = state.groups[line.place]
  call("SADD", key.lanes(bot.bot_id, line.place), lane.chat.chat_id)
  lane.turn = turns.enter(line, lane.turn, STRIDE)
  if line.members > 1 then return end
  line.turn = turns.enter(group.turns, line.turn, 0)
  line.turn_in_bot = turns.enter(bot, line.turn_in_bot, 0)
  group.lines = group.lines + 1
  if group.lines == 1 then group.turn = turns.enter(state.turns, group.turn, 0) end
end

local firsts = {} -- of each group the line whose turn it is, false if there is none, nil until somebody asks

local function leave_group(line)
  if line.in_group then
    firsts[line.place] = nil
    call("ZREM", key.group(line.place), number_of(line.bot))
    line.in_group = nil
  end
end

local function end_to_wait(lane)
  local line, bot = lane.line, lane.chat.bot
  local group = state.groups[line.place]
  call("SREM", key.lanes(bot.bot_id, line.place), lane.chat.chat_id)
  turns.leave(line)
  if line.members > 0 then return end
  leave_group(line)
  turns.leave(bot)
  turns.leave(group.turns)
  group.lines = group.lines - 1
  if group.lines == 0 then turns.leave(state.turns) end
end

-- Take a message out of its lane.
local function leave(entry)
  local lane = lane_of(entry)
  take_out(lane, member_of(entry))
  note_special(entry, -1)
  if lane.size == 0 then end_to_wait(lane) end
end

-- Which lanes may go

local function line_key(line, as_paid)
  if as_paid then return key.paid(line.bot.bot_id, line.place) end
  line.ready_key = line.ready_key or key.ready(line.bot.bot_id, line.place)
  return line.ready_key
end

-- Of the ready lanes a line remembers which is the first (false: there is none), as long as it is sure; nil is not.

local function note_first(line, turn, member)
  if line.first == false or (line.first and turn < line.first_turn) then
    line.first, line.first_turn = member, turn
  elseif line.first and turn == line.first_turn then
    line.first = nil -- Lua would compare the members by the words of some language
  end
end

local function withdraw(lane)
  if not lane.offered then return end
  local line = lane.line
  call("ZREM", line_key(line, lane.offered_as_paid), lane.offered)
  if line.first == lane.offered then line.first = nil end
  lane.offered, line.fronts = nil, nil
end

-- A member tells all that is asked of a front before its turn: its position (which breaks ties), its cost, its chat.
local function offer_in_line(lane, head)
  local line, is_paid = lane.line, head.is_paid
  local member = head.position .. " " .. head.cost .. " " .. lane.chat.chat_id
  if lane.offered == member and lane.offered_as_paid == is_paid then return end
  withdraw(lane)
  call("ZADD", line_key(line, is_paid), lane.turn, member)
  if not is_paid then note_first(line, lane.turn, member) end
  lane.offered, lane.offered_as_paid, line.fronts = member, is_paid, nil
end

-- Return the member of the ready lane whose turn it is.
local function first_ready(line)
  if line.first == nil then
    local found = call("ZRANGE", line_key(line, false), 0, 0, "WITHSCORES")
    line.first, line.first_turn = found[1] or false, tonumber(found[2] or 0)
  end
  return line.first
end

local function front_of(member, turn, is_paid)
  local position, cost = string.match(member, "^(%S+) (%d+) ")
  return {member = member, turn = turn, position = position, cost = tonumber(cost), is_paid = is_paid}
end

local function first_paid(line)
  if line.bot.special == 0 then return nil end
  local found = call("ZRANGE", line_key(line, true), 0, 0, "WITHSCORES")
  return found[1] and front_of(found[1], tonumber(found[2]), true)
end

-- Tell whether one id is before another, byte by byte as in Python and in a sorted set.
local function is_before(one, other)
  for place = 1, math.min(#one, #other) do
    local mine, yours = string.byte(one, place), string.byte(other, place)
    if mine ~= yours then return mine < yours end
  end
  return #one < #other
end

-- Return the free and the paid front of a line, the one whose turn it is first.
local function fronts_of(line)
  if line.fronts then return line.fronts end
  local member = first_ready(line)
  local fronts = {member and front_of(member, line.first_turn, false) or nil}
  fronts[#fronts + 1] = first_paid(line)
  local free, paid = fronts[1], fronts[2]
  if paid and (paid.turn < free.turn or (paid.turn == free.turn and is_before(paid.position, free.position))) then
    fronts[1], fronts[2] = paid, free
  end
  line.fronts = fronts
  return fronts
end

local function lane_ready_at_ms(lane, head, user)
  local of_chat, of_user = lane.chat.gate, user and user.gate
  local chat_at_ms = of_chat and gates.ready_at_ms(of_chat, now_ms, head.cost) or not of_chat and now_ms
  local user_at_ms = of_user and gates.ready_at_ms(of_user, now_ms, head.cost) or not of_user and now_ms
  if not chat_at_ms or not user_at_ms then return nil end
  return math.max(lane.wait_until_ms, lane.chat.hold_until_ms, chat_at_ms, user_at_ms)
end

local function member_of_user(lane)
  return lane.line.place .. " " .. lane.chat.chat_id
end

-- Let a user know of the lanes whose head is its own: what becomes free of its limit is offered to them.
local function note_user(lane, user)
  local user_id = user and user.user_id or nil
  if (lane.user_id or nil) == user_id then return end
  local bot_id = lane.chat.bot.bot_id
  if lane.user_id then call("SREM", key.user_lanes(bot_id, lane.user_id), member_of_user(lane)) end
  if user_id then call("SADD", key.user_lanes(bot_id, user_id), member_of_user(lane)) end
  lane.user_id = user_id
end

-- Put a lane among those of its line that may go, or set its timer.
local function offer_lane(lane)
  if #lane.chat.flying > 0 then
    withdraw(lane)
    return
  end
  local head = head_of(lane)
  local user = head and user_of(lane.chat.bot, head.user_id)
  note_user(lane, user)
  local ready_at_ms = head and lane_ready_at_ms(lane, head, user)
  if head and ready_at_ms == now_ms then
    offer_in_line(lane, head)
    return
  end
  withdraw(lane)
  if ready_at_ms then
    set_timer("lane " .. lane.line.bot.bot_id .. " " .. lane.line.place .. " " .. lane.chat.chat_id, ready_at_ms)
  end
end

-- Which lines may go

-- Return when a purse will suffice for what goes as a free one until then.
local function pays_later_at_ms(line, front)
  if not front.is_paid then return nil end
  local pays_at_ms = purses.free_at_ms(purse_of(line.bot), now_ms, front.cost)
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
  return mine < yours or (mine == yours and line.place < other.place)
end

-- Return until when a front of more than one place that ranks before saves up; ``now_ms`` if none does.
local function saved_up_until_ms(line, front)
  local bot = line.bot
  local it_pays = pays(bot, front.is_paid, front.cost)
  for _, other_line in ipairs(lines_of(bot)) do
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

-- Return when a front may leave its bot; nil if only an event can tell.
local function front_ready_at_ms(line, front)
  local bot = line.bot
  if bot.is_paused then return nil end
  if bot.hold_until_ms > now_ms then return bot.hold_until_ms end
  local saves_until_ms = saved_up_until_ms(line, front)
  if saves_until_ms ~= now_ms then
    return sooner(saves_until_ms, pays_later_at_ms(line, front))
  end
  return fits_at_ms(line, front)
end

local function join_group(line)
  if line.in_group ~= line.turn then
    firsts[line.place] = nil
    call("ZADD", key.group(line.place), line.turn, number_of(line.bot))
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
  if bot.hold_until_ms > now_ms then return bot.hold_until_ms end
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
  for _, line in ipairs(lines_of(bot)) do
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

-- Put the lines of a bot among those of their priorities that may go, and set its timer for the others.
local function reoffer(bot)
  local wake_at_ms
  bot.is_short = bot.members > 0 -- something waits for its places
  if bot.special > 0 then
    for _, line in ipairs(lines_of(bot)) do
      if line.members > 0 then wake_at_ms = sooner(wake_at_ms, offer_line(line)) end
    end
  else
    wake_at_ms = reoffer_singles(bot)
  end
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
  for place = 1, 3 do
    local lane = chat.lanes[place]
    if lane and lane.size > 0 then offer_lane(lane) end
  end
  reoffer(chat.bot)
end

-- Look again at the lanes that wait for a user's places, in whatever chats; then the bot is looked at.
local function reoffer_user(bot, user_id)
  if not user_of(bot, user_id) then return end
  for _, member in ipairs(call("SMEMBERS", key.user_lanes(bot.bot_id, user_id))) do
    local place, chat_id = string.match(member, "^(%d) (.*)$")
    local chat = known_chat(bot, chat_id)
    local lane = chat and chat.lanes[tonumber(place)]
    if lane then offer_lane(lane) end
  end
end

-- Look at one lane again, and at its bot if what its line offers is another message now.
local function offer(lane)
  local line = lane.line
  local before = first_ready(line)
  offer_lane(lane)
  if line.bot.special > 0 or first_ready(line) ~= before then reoffer(line.bot) end
end

-- What is counted

local function count_open(entry, by)
  local bot = bot_of(entry.bot_id)
  bot.open = bot.open + by
  if entry.tried and entry.number == 0 then
    state.retry = state.retry + by
  else
    state.open[entry.place] = state.open[entry.place] + by
  end
end

local function count_waiting(chat, by)
  chat.waiting = chat.waiting + by
  chat.bot.waiting = chat.bot.waiting + by
end

-- Edits: what waits with the same ``replaces``, oldest first.

local function note_edit(chat, entry)
  if entry.replaces then
    call("ZADD", key.edits(chat.bot.bot_id, chat.chat_id), 0, entry.replaces .. "\0" .. entry.id)
  end
end

local function forget_edit(chat, entry)
  if entry.replaces then
    call("ZREM", key.edits(chat.bot.bot_id, chat.chat_id), entry.replaces .. "\0" .. entry.id)
  end
end

local function newest_edit(chat, replaces)
  local found = call(
    "ZREVRANGEBYLEX", key.edits(chat.bot.bot_id, chat.chat_id),
    "(" .. replaces .. "\1", "[" .. replaces .. "\0", "LIMIT", 0, 1
  )
  return found[1] and entry_of(string.sub(found[1], #replaces + 2))
end

-- In and out of the lanes

-- Put a due message into its lane.
local function enter(entry)
  local lane = lane_of(entry)
  entry.is_due, entry.is_changed = true, true
  put_in(lane, member_of(entry))
  note_special(entry, 1)
  if lane.size == 1 then begin_to_wait(lane) end
  offer(lane)
end

-- Forget a waiting message.
local function remove(entry)
  local lane = lane_of(entry)
  local chat = lane.chat
  entry.is_gone = true
  count_open(entry, -1)
  count_waiting(chat, -1)
  forget_edit(chat, entry)
  if entry.expires_at_ms then call("ZREM", key.expiries(), entry.id) end
  if entry.is_due then
    leave(entry)
    offer(lane)
    if is_special(entry) then reoffer(lane.line.bot) end -- its line may have offered it beside a free one
  else
    call("SREM", key.later(chat.bot.bot_id, chat.chat_id), entry.id)
    call("ZREM", key.timers(), "message " .. entry.id)
  end
end

-- Limits that a 429 has lowered

local function narrow(scope)
  local adapted = scope.adapted
  scope.gate.places = adapted.places
  if scope.bot_id and scope.spacing then spacings.narrow(scope.spacing, adapted.places, now_ms) end
  if adapted.places < adapted.full then
    local whose = scope.bot_id and scope.bot_id or scope.bot.bot_id .. " " .. scope.chat_id
    set_timer("limit " .. whose, adapted.rises_at_ms)
  else
    scope.adapted = scope.bot_id and nil or false
  end
end

local function lower_limit(scope, limit)
  if not scope.gate or not limit then return end
  local adapted = scope.adapted or adaptive.fresh(limit, limits.adapt_least)
  adaptive.lower(adapted, now_ms)
  if adapted.places < adapted.full then
    scope.adapted = adapted
    narrow(scope)
  end
end

local function recover_limit(scope)
  if not scope or not scope.adapted or not scope.gate or scope.adapted.rises_at_ms > now_ms then return end
  adaptive.rise(scope.adapted, now_ms)
  narrow(scope)
  if scope.bot_id then reoffer(scope) else reoffer_chat(scope) end
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

function on_time.limit(bot_id, chat_id)
  local bot = bot_of(bot_id)
  if chat_id == "" then
    recover_limit(bot)
  else
    recover_limit(known_chat(bot, chat_id))
  end
end

function on_time.bot(bot_id)
  local bot = bot_of(bot_id)
  bot.wake_at_ms = nil
  reoffer(bot)
end

function on_time.lane(bot_id, place_and_chat)
  local place, chat_id = string.match(place_and_chat, "^(%d) (.*)$")
  local chat = known_chat(bot_of(bot_id), chat_id)
  local lane = chat and chat.lanes[tonumber(place)]
  if lane and lane.size > 0 then offer(lane) end
end

-- Let everything happen that is due by now.
local function pass_time()
  local due = call("ZRANGEBYSCORE", key.timers(), "-inf", now_ms, "LIMIT", 0, TIMERS_MAX)
  more_is_due = #due == TIMERS_MAX
  if #due == 0 then return end
  call("ZREM", key.timers(), unpack(due))
  local timers, whose = {}, {}
  for place, member in ipairs(due) do
    timers[place] = {string.match(member, "^(%l+) (%S+) ?(.*)$")}
    local kind, bot_id, place_and_chat = unpack(timers[place])
    if kind == "lane" then whose[#whose + 1] = {bot_id, string.sub(place_and_chat, 3)} end
  end
  fetch_whose(whose)
  for _, timer in ipairs(timers) do on_time[timer[1]](timer[2], timer[3]) end
end

local function first_at_ms(sorted_key)
  return tonumber(call("ZRANGE", sorted_key, 0, 0, "WITHSCORES")[2])
end

-- Forget what has expired, a batch at most, and return it.
local function expire(records)
  local gone = call("ZRANGEBYSCORE", key.expiries(), "-inf", now_ms, "LIMIT", 0, BATCH_MAX)
  local expired = {}
  for place, message_id in ipairs(gone) do
    local entry = entry_of(message_id)
    expired[place] = told(records, entry)
    remove(entry)
  end
  return expired
end

-- Leases

local function held(message_id, number, incarnation)
  local entry = entry_of(message_id)
  if not entry or entry.number == 0 or entry.number ~= number or incarnation ~= state.incarnation then return nil end
  return entry
end

local function gates_of(entry, chat)
  local bot, user = chat.bot, user_of(chat.bot, entry.user_id)
  local of_bot = bot.gate
  if entry.pays then of_bot = paid_gate_of(bot) end
  local found = {state.ceiling} -- nil is not in it
  if of_bot then found[#found + 1] = of_bot end
  if chat.gate then found[#found + 1] = chat.gate end
  if user then found[#found + 1] = user.gate end
  return found
end

return
  set_timer, member_of, front_in, lane_key, head_of, write_out, put_in, take_out, note_special, begin_to_wait, firsts,
  end_to_wait, leave, withdraw, is_before, note_user, offer_lane, reoffer, reoffer_chat, reoffer_user, count_open,
  count_waiting, note_edit, forget_edit, newest_edit, enter, remove, lower_limit, pass_time, first_at_ms, expire,
  held, gates_of
end)()
