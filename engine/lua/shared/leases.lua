-- Whose turn it is; and from a lease to its end: see engine/leases.py, step for step.

local DOUBT_MS = 60000
local BLAME_MS = 2000
local LOOKS_MAX = 500 -- in one call; right after new limits most of them may find a chat that must wait now

-- Out

local function first_of_group(place)
  local line = firsts[place]
  if line == nil then -- nobody has looked since somebody joined or left
    local member = call("ZRANGE", key.group(place), 0, 0)[1]
    line = member and lines_of(bot_of(string.match(member, "^0*(%d+)$")))[place] or false
    firsts[place] = line
  end
  return line
end

-- Return the first lines of the groups, the one whose turn it is first.
local function candidates()
  local lines, ranks = {}, {}
  for place = 1, 3 do
    local line = first_of_group(place)
    if line then
      local rank, at = turns.rank(state.turns, state.groups[place].turn), #lines + 1
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
  local wake_at_ms
  for _, line in ipairs(candidates()) do
    local cost = line.offered_cost
    local spacing = line.is_spaced and state.ceiling_spacing or nil
    local free_at_ms = both_free_at_ms(state.ceiling, spacing, cost, now_ms)
    if free_at_ms == now_ms then return line, nil end
    wake_at_ms = sooner(wake_at_ms, free_at_ms)
    if cost > 1 then break end -- it saves up: nobody behind it takes what comes free meanwhile
  end
  return nil, wake_at_ms
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

local function take_places(entry, chat, line)
  local bot, cost = chat.bot, entry.cost
  entry.pays = pays(bot, entry.is_paid, cost)
  for _, gate in ipairs(gates_of(entry, chat)) do gates.take(gate, cost) end
  if entry.pays then
    bot.has_purse = true
    bot.purse.taken = bot.purse.taken + cost
  end
  if line.is_spaced then
    if state.ceiling_spacing then spacings.spend(state.ceiling_spacing, now_ms, cost) end
    if bot.spacing and not entry.pays then spacings.spend(bot.spacing, now_ms, cost) end
  end
end

-- Give a message to a worker, under a number that is higher than any before.
local function give(entry, worker_id, lease_ms, records)
  state.number = state.number + 1
  entry.number, entry.worker_id, entry.lease_until_ms = state.number, worker_id, now_ms + lease_ms
  entry.is_changed = true
  lease_ends[entry.id] = entry.lease_until_ms
  local message_id = told(records, entry)
  entry.packed = records[#records] -- nothing changes it any more in this call
  return message_id
end

-- Return the head of a lane, of which the line knows the position: most stand under their own ids.
local function head_entry(lane, position)
  local entry = entry_of(position)
  if entry and entry.position == position then return entry end
  return entry_of(head_of(lane).id)
end

-- Lease the front of a line: its places, its turns, and its chat's one place in flight.
local function take(line, worker_id, lease_ms, records)
  local bot, group = line.bot, state.groups[line.place]
  local position, chat_id = string.match(line.offered, "^(%S+) %d+ (.*)$")
  local chat = known_chat(bot, chat_id)
  if chat.version ~= limits.version then
    reoffer_chat(chat) -- its limit is another since it was offered
    return nil
  end
  local lane = chat.lanes[line.place]
  local entry = head_entry(lane, position)
  local cost, share = entry.cost, limits.shares[line.place]
  take_places(entry, chat, line)
  group.turn = turns.serve(state.turns, group.turn, cost, share)
  line.turn = turns.serve(group.turns, line.turn, cost, bot.weight)
  line.turn_in_bot = turns.serve(bot, line.turn_in_bot, cost, share)
  lane.turn = turns.serve(line, lane.turn, cost, 1)
  if entry.tried then -- while it is leased it counts under its priority
    state.retry = state.retry - 1
    state.open[line.place] = state.open[line.place] + 1
  end
  count_waiting(chat, -1)
  forget_edit(chat, entry)
  if entry.expires_at_ms then call("ZREM", key.expiries(), entry.id) end
  table.insert(chat.flying, entry.id)
  local lease = give(entry, worker_id, lease_ms, records)
  leave(entry)
  for place = 1, 3 do
    if chat.lanes[place] then withdraw(chat.lanes[place]) end
  end
  reoffer_user(bot, entry.user_id)
  reoffer(bot)
  return lease
end

-- Lease what may go: {leases, expired, wake_at_ms or false, rings, incarnation, now_ms}.
local function lease_some(worker_id, slots, lease_ms, records)
  local leases, expired = {}, {}
  if slots > 0 then expired = expire(records) end
  local next_expiry_ms = first_at_ms(key.expiries())
  if next_expiry_ms and next_expiry_ms <= now_ms then -- more than a batch: none of the rest may be leased
    return {leases, expired, now_ms, state.rings, state.incarnation, now_ms}
  end
  local room = math.min(slots, BATCH_MAX)
  local looks, line, wake_at_ms = 0, choose()
  while line and #leases < room and looks < LOOKS_MAX do
    looks = looks + 1
    leases[#leases + 1] = take(line, worker_id, lease_ms, records)
    line, wake_at_ms = choose()
  end
  if line or more_is_due then wake_at_ms = now_ms end
  wake_at_ms = sooner(sooner(wake_at_ms, first_at_ms(key.timers())), next_expiry_ms)
  return {leases, expired, wake_at_ms or false, state.rings, state.incarnation, now_ms}
end

local function held(message_id, number, incarnation)
  local entry = entry_of(message_id)
  if not entry or entry.number == 0 or entry.number ~= number or incarnation ~= state.incarnation then return nil end
  return entry
end

-- Back

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
  bot.doubt_until_ms = now_ms + DOUBT_MS
  local blames, blamed = {}, {}
  for _, blame in ipairs(bot.blames) do
    if blame[1] >= now_ms - BLAME_MS then blames[#blames + 1] = blame end
  end
  blames[#blames + 1] = {now_ms, chat.chat_id}
  bot.blames = blames
  local count = 0
  for _, blame in ipairs(blames) do
    local who = resolve(bot, blame[2])
    if not blamed[who] then blamed[who], count = true, count + 1 end
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
  -- A place that begins to count stays taken: that matters only to whoever waits for the chat, or for places.
  local counted_all = counted_age_ms and counted_cost == cost and kind == "done"
  if chat.waiting > 0 or chat.bot.is_short or user_of(chat.bot, entry.user_id) or not counted_all then
    reoffer_user(chat.bot, entry.user_id)
    reoffer_chat(chat)
  end
  return {true, holds}
end
