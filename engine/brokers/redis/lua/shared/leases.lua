-- Which message goes next, and its lease.
--
-- TWIN  engine/brokers/memory/leases.py
-- USES  keys numbers spacing windows weighted_window fair_queue pools failing state bots chats messages lanes queue

local
  give, lease_some
= (function()

-- One question for leases. A bot that may take no further place of the ceiling, or no further connection of the worker
-- that asks, is passed over: its turn neither ends nor keeps others waiting. Nothing lets it in again in this call.
local question = {
  connections = nil, -- of the worker that asks, if they are shared out
  waits_for_ceiling = false, -- a bot was passed over that has its share of the ceiling's places
  is_kept_back = false, -- something may go, but not by these connections
}
local passed_over, passed_count = {}, {} -- of each group: its bots, and how many
for index = 1, #constants.LINES do passed_over[index], passed_count[index] = {}, 0 end

local function ceiling_places()
  return limits.ceiling.places
end

local function may_begin(line)
  local bot, connections = line.bot, question.connections
  if line.is_counted and not pools.may_begin(state.pool, ceiling_places(), bot.calls) then
    question.waits_for_ceiling = true
    return false
  end
  if not connections or pools.may_connect(connections, bot.bot_id) then return true end
  question.is_kept_back = true
  return false
end

local function is_left_for_high(line)
  if not line.is_spaced then return false end
  if pools.is_left_for_high(state.pool, ceiling_places()) then return true end
  if not question.connections or not pools.connects_high_only(question.connections) then return false end
  question.is_kept_back = true
  return true
end

local function pass_over(line)
  local bots = passed_over[line.index]
  if not bots[line.bot.bot_id] then
    bots[line.bot.bot_id], passed_count[line.index] = true, passed_count[line.index] + 1
  end
end

-- What was read of a group: its members from ``start`` on, as many as were ``asked`` for or all, and how many of them
-- were looked at. Dropped when a line joins or leaves the group; so each that is passed over is read once until then.
local pages = {}

local function next_member(index)
  local page = pages[index]
  if not page then
    local asked = passed_count[index] + 1
    page = {start = 0, asked = asked, seen = 0, members = call("ZRANGE", key.group(index), 0, asked - 1)}
  elseif page.seen == page.asked then
    local start = page.start + page.asked
    local members = call("ZRANGE", key.group(index), start, start + constants.BATCH_MAX - 1)
    page = {start = start, asked = constants.BATCH_MAX, seen = 0, members = members}
  end
  pages[index], page.seen = page, page.seen + 1
  return page.members[page.seen]
end

-- Return the first line of a group whose bot was not passed over.
local function first_left(index)
  for member in next_member, index do
    local bot_id = string.match(member, "^0*(%d+)$")
    if not passed_over[index][bot_id] then return lines_of(seen_bot(bot_id))[index] end
  end
  return false
end

local function first_of_group(index)
  local line = firsts[index]
  if line == nil then -- not looked at since a line joined or left
    pages[index] = nil
    line = first_left(index)
  end
  while line and not may_begin(line) do
    pass_over(line)
    line = first_left(index)
  end
  firsts[index] = line
  return line
end

-- Return the first lines of the groups, the one whose turn it is first.
local function candidates()
  local lines, ranks = {}, {}
  for index = 1, #constants.LINES do
    local line = first_of_group(index)
    if line then
      local rank, at = turns.rank(state.turns, state.groups[index].turn), #lines + 1
      while at > 1 and ranks[at - 1] > rank do
        lines[at], ranks[at] = lines[at - 1], ranks[at - 1]
        at = at - 1
      end
      lines[at], ranks[at] = line, rank
    end
  end
  return lines
end

-- Return the line whose turn it is; or nil, and when the ceiling lets one go that it now keeps back.
local function choose()
  local wake_at_ms, saves_up
  for _, line in ipairs(candidates()) do
    if not line.is_counted then return line, nil end
    if not saves_up and not is_left_for_high(line) then -- what is left for high saves up nothing
      local cost = line.offered_cost
      local spacing = line.is_spaced and state.ceiling_spacing or nil
      local free_at_ms = both_free_at_ms(state.ceiling, spacing, cost, now_ms)
      if free_at_ms == now_ms then return line, nil end
      wake_at_ms = sooner(wake_at_ms, free_at_ms)
      saves_up = cost > 1 -- nothing behind it takes what comes free meanwhile, until its bot is passed over
      if saves_up then
        wake_at_ms = sooner(wake_at_ms, pools.slow_at_ms(state.pool, ceiling_places(), line.bot.calls))
      end
    end
  end
  return nil, wake_at_ms
end

local function take_places(entry, chat, line)
  local bot, cost = chat.bot, entry.cost
  entry.pays = pays(bot, entry.is_paid, cost)
  for _, gate in ipairs(gates_of(entry, chat)) do gates.take(gate, now_ms, cost) end
  if entry.pays then
    bot.has_purse = true
    weighted_windows.take(bot.purse, cost)
  end
  if line.is_spaced then
    if state.ceiling_spacing then spacings.spend(state.ceiling_spacing, now_ms, cost) end
    if bot.spacing and not entry.pays then spacings.spend(bot.spacing, now_ms, cost) end
  end
  if cost > 0 then
    use_limit(chat)
    if not entry.pays then use_limit(bot) end
  end
end

-- Give a message to a worker, under a number that is higher than any before.
local function give(entry, worker_id, lease_ms, records)
  state.number = state.number + 1
  if entry.number > 0 then pools.renumber(bot_of(entry.bot_id).calls, entry.number, state.number) end
  entry.number, entry.worker_id, entry.lease_until_ms = state.number, worker_id, now_ms + lease_ms
  entry.is_changed = true
  lease_ends[entry.id] = entry.lease_until_ms
  local message_id = report(records, entry)
  entry.packed = records[#records] -- nothing changes it any more in this call
  return message_id
end

-- Return the head of a lane, of which the line knows the position: most stand under their own ids.
local function head_entry(lane, position)
  local entry = entry_of(position)
  if entry and entry.position == position then return entry end
  return entry_of(head_of(lane).id)
end

local function take_turn(line, lane, entry)
  local bot, group = line.bot, state.groups[line.index]
  local cost, share = math.max(1, entry.cost), limits.shares[line.priority] -- what takes no place takes a connection
  group.turn = turns.serve(state.turns, group.turn, cost, share)
  line.turn = turns.serve(group.turns, line.turn, cost, bot.weight)
  if line.is_counted then line.turn_in_bot = turns.serve(bot, line.turn_in_bot, cost, share) end
  lane.turn = turns.serve(line, lane.turn, cost, 1)
end

-- Forget the front of a line that has expired. It has had its turn, or a line of them would have every turn.
local function expire_front(line, lane, entry, records)
  take_turn(line, lane, entry)
  local message_id = expire(entry, records)
  reoffer(line.bot)
  return message_id
end

-- Lease the front of a line: its places, its turns, and its chat's one place in flight. Return its id, or instead that
-- of one that had expired, though no more of those were to be taken out; neither, if it must wait after all.
local function take(line, worker_id, lease_ms, records, of_leases)
  local bot = line.bot
  local position, chat_id = string.match(line.offered, "^(%S+) %d+ (.*)$")
  local chat = known_chat(bot, chat_id)
  bot.is_touched = true
  if chat.version ~= limits.version and line.is_counted then
    reoffer_chat(chat) -- its limit is another since it was offered
    return nil
  end
  local lane = chat.lanes[line.index]
  local entry = head_entry(lane, position)
  if entry.expires_at_ms and entry.expires_at_ms <= now_ms then return nil, expire_front(line, lane, entry, records) end
  take_places(entry, chat, line)
  take_turn(line, lane, entry)
  healths.begin_call(bot.health, entry.id, is_in_failed_chat(lane))
  if entry.tried then -- while it is leased it counts under its priority
    state.retry = state.retry - 1
    state.open[line.priority] = state.open[line.priority] + 1
  end
  count_waiting(chat, -1)
  forget_edit(chat, entry)
  if entry.expires_at_ms then call("ZREM", key.expiries(), entry.id) end
  local lease = give(entry, worker_id, lease_ms, of_leases)
  pools.begin(state.pool, bot.calls, entry.number, entry.cost)
  if question.connections then pools.connect(question.connections, bot.bot_id) end
  leave(entry)
  if line.is_counted then
    table.insert(chat.flying, entry.id)
    for index = 1, 3 do
      if chat.lanes[index] then withdraw(chat.lanes[index]) end
    end
    reoffer_user(bot, entry.user_id)
  else
    withdraw(lane)
    if lane.size > 0 then offer_lane(lane) end
  end
  reoffer(bot)
  return lease
end

-- Lease what may go: {leases, expired, wake_at_ms or false, is_kept_back, rings, incarnation, now_ms, ahead_ms}.
local function lease_some(worker_id, slots, lease_ms, connections, records)
  local leases, expired, of_leases = {}, {}, {}
  if slots > 0 then expired = expire_some(records) end
  question.connections = pools.connections(connections)
  local its_turns = math.min(slots, constants.BATCH_MAX)
  local looks, line, wake_at_ms = 0, choose()
  while line and its_turns > 0 and looks < constants.LOOKS_MAX do
    looks = looks + 1
    local leased, gone = take(line, worker_id, lease_ms, records, of_leases)
    leases[#leases + 1], expired[#expired + 1] = leased, gone
    if leased or gone then its_turns = its_turns - 1 end
    line, wake_at_ms = choose()
  end
  for _, record in ipairs(of_leases) do records[#records + 1] = record end
  if question.waits_for_ceiling then wake_at_ms = sooner(wake_at_ms, pools.changes_at_ms(state.pool)) end
  if line or more_is_due then wake_at_ms = now_ms end
  wake_at_ms = sooner(sooner(wake_at_ms, first_at_ms(key.timers())), first_at_ms(key.expiries()))
  if wake_at_ms and wake_at_ms < now_ms then wake_at_ms = now_ms end -- some that have expired are still to be taken out
  return {
    leases, expired, wake_at_ms or false, question.is_kept_back, state.rings, state.incarnation, now_ms,
    state.ahead_ms,
  }
end

return
  give, lease_some
end)()
