-- In and out of a lane, and which lanes may go.
--
-- TWIN  engine/brokers/memory/lanes.py (Lane, Line), engine/brokers/memory/queue.py (_begin_to_wait to _offer_lane)
-- USES  keys windows fair_queue state bots chats users messages

local
  number_of, set_timer, is_special, member_of, front_in, lane_key, head_of, write_out, put_in, take_out, note_special,
  begin_to_wait, firsts, leave_group, end_to_wait, leave, withdraw, first_ready, has_untroubled, is_before, fronts_of,
  note_user, offer_lane
= (function()

-- A bot's id in a sorted set, so that of two with the same pass the lower comes first.
local function number_of(bot)
  bot.number = bot.number or string.rep("0", 20 - #bot.bot_id) .. bot.bot_id
  return bot.number
end

local function set_timer(owner, at_ms)
  call("ZADD", key.timers(), at_ms, owner)
end

-- Tell whether it takes anything but one free place of its bot, or none; ``special`` counts those in its lanes.
local function is_special(entry)
  return entry.cost > 1 or entry.is_paid
end

-- In its lane a message stands under its position, and with it all that is asked of a head: its own id, if it is in
-- the place of another, its cost, its user. Of most that is nothing, and of what is uncounted no more is asked.
local function member_of(entry)
  local id, position = entry.id, entry.position
  if position == id and (entry.cost == 0 or not (entry.user_id or is_special(entry))) then return id end
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
  lane.key = lane.key or key.lane(lane.chat.bot.bot_id, lane.line.index, lane.chat.chat_id)
  return lane.key
end

local function head_of(lane)
  if lane.size == 0 then return nil end
  return front_in(lane.alone or call("ZRANGE", lane_key(lane), 0, 0)[1])
end

-- One message that waits alone stands in the record of its chat: two keys cost too much for what is there for a moment.

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
  local group = state.groups[line.index]
  call("SADD", key.lanes(bot.bot_id, line.index), lane.chat.chat_id)
  lane.turn = turns.enter(line, lane.turn, constants.STRIDE)
  if line.members > 1 then return end
  line.turn = turns.enter(group.turns, line.turn, 0)
  if line.is_counted then line.turn_in_bot = turns.enter(bot, line.turn_in_bot, 0) end
  group.lines = group.lines + 1
  if group.lines == 1 then group.turn = turns.enter(state.turns, group.turn, 0) end
end

local firsts = {} -- of each group the line whose turn it is, false if there is none, nil until it is asked for

local function leave_group(line)
  if line.in_group then
    firsts[line.index] = nil
    call("ZREM", key.group(line.index), number_of(line.bot))
    line.in_group = nil
  end
end

local function end_to_wait(lane)
  local line, bot = lane.line, lane.chat.bot
  local group = state.groups[line.index]
  call("SREM", key.lanes(bot.bot_id, line.index), lane.chat.chat_id)
  turns.leave(line)
  if line.members > 0 then return end
  leave_group(line)
  if line.is_counted then turns.leave(bot) end
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

-- Where a lane stands that may go, by whether its head is to be paid for, and whether its chat has failed.
local HEAPS = {[0] = key.ready, key.paid, key.failed, key.failed_paid}
local PAID, FAILED = 1, 2

local function line_key(line, heap)
  if heap > 0 then return HEAPS[heap](line.bot.bot_id, line.index) end
  line.ready_key = line.ready_key or HEAPS[heap](line.bot.bot_id, line.index)
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
  call("ZREM", line_key(line, lane.offered_in), lane.offered)
  if lane.offered_in >= FAILED then line.bot.failed_lanes = line.bot.failed_lanes - 1 end
  if line.first == lane.offered then line.first = nil end
  lane.offered, line.fronts = nil, nil
end

-- A member tells all that is asked of a front before its turn: its position (which breaks ties), its cost, its chat.
local function offer_in_line(lane, head)
  local line = lane.line
  local heap = (head.is_paid and PAID or 0) + (is_in_failed_chat(lane) and FAILED or 0)
  local member = head.position .. " " .. head.cost .. " " .. lane.chat.chat_id
  if lane.offered == member and lane.offered_in == heap then return end
  withdraw(lane)
  call("ZADD", line_key(line, heap), lane.turn, member)
  if heap == 0 then note_first(line, lane.turn, member) end
  if heap >= FAILED then line.bot.failed_lanes = line.bot.failed_lanes + 1 end
  lane.offered, lane.offered_in, line.fronts = member, heap, nil
end

-- Tell whether one id is before another, byte by byte as in Python and in a sorted set.
local function is_before(one, other)
  for index = 1, math.min(#one, #other) do
    local mine, yours = string.byte(one, index), string.byte(other, index)
    if mine ~= yours then return mine < yours end
  end
  return #one < #other
end

-- Return the member whose turn it is in one of a line's sorted sets, and its pass.
local function first_in(line, heap)
  if heap == 0 and line.first ~= nil then return line.first, line.first_turn end
  local found = call("ZRANGE", line_key(line, heap), 0, 0, "WITHSCORES")
  local member, turn = found[1] or false, tonumber(found[2] or 0)
  if heap == 0 then line.first, line.first_turn = member, turn end
  return member, turn
end

-- Return the member whose turn it is, of the free or of the paid ones, and its pass; while the bot is failing, one of
-- the chats that are tried now.
local function first_of(line, heap)
  local bot = line.bot
  if bot.failed_lanes == 0 then return first_in(line, heap) end
  if bot.health.failing then return first_in(line, bot.tries_failed and heap + FAILED or heap) end
  local member, turn = first_in(line, heap)
  local other, its_turn = first_in(line, heap + FAILED)
  if not member or (other and (its_turn < turn or (its_turn == turn and is_before(other, member)))) then
    return other, its_turn
  end
  return member, turn
end

-- Return the member of the ready lane whose turn it is.
local function first_ready(line)
  return (first_of(line, 0))
end

-- Tell whether a lane may go whose chat has not failed.
local function has_untroubled(line)
  return first_in(line, 0) or (line.bot.special > 0 and first_in(line, PAID))
end

local function front_of(member, turn, is_paid)
  local position, cost = string.match(member, "^(%S+) (%d+) ")
  return {member = member, turn = turn, position = position, cost = tonumber(cost), is_paid = is_paid}
end

local function first_paid(line)
  if line.bot.special == 0 then return nil end
  local member, turn = first_of(line, PAID)
  return member and front_of(member, turn, true) or nil
end

-- Return the free and the paid front of a line, the one whose turn it is first.
local function fronts_of(line)
  if line.fronts then return line.fronts end
  local member, turn = first_of(line, 0)
  local fronts = {member and front_of(member, turn, false) or nil}
  fronts[#fronts + 1] = first_paid(line)
  local free, paid = fronts[1], fronts[2]
  if paid and (paid.turn < free.turn or (paid.turn == free.turn and is_before(paid.position, free.position))) then
    fronts[1], fronts[2] = paid, free
  end
  line.fronts = fronts
  return fronts
end

local function lane_ready_at_ms(lane, head, user)
  if not lane.line.is_counted then return math.max(now_ms, lane.chat.hold_until_ms) end
  local of_chat, of_user = lane.chat.gate, user and user.gate
  local chat_at_ms = of_chat and gates.ready_at_ms(of_chat, now_ms, head.cost) or not of_chat and now_ms
  local user_at_ms = of_user and gates.ready_at_ms(of_user, now_ms, head.cost) or not of_user and now_ms
  if not chat_at_ms or not user_at_ms then return nil end
  return math.max(lane.wait_until_ms, lane.chat.hold_until_ms, chat_at_ms, user_at_ms)
end

local function member_of_user(lane)
  return lane.line.index .. " " .. lane.chat.chat_id
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
  if #lane.chat.flying > 0 and lane.line.is_counted then
    withdraw(lane)
    return
  end
  local head = head_of(lane)
  local user = head and lane.line.is_counted and user_of(lane.chat.bot, head.user_id)
  note_user(lane, user)
  local ready_at_ms = head and lane_ready_at_ms(lane, head, user)
  if head and ready_at_ms == now_ms then
    offer_in_line(lane, head)
    return
  end
  withdraw(lane)
  if ready_at_ms then
    set_timer("lane " .. lane.line.bot.bot_id .. " " .. lane.line.index .. " " .. lane.chat.chat_id, ready_at_ms)
  end
end

return
  number_of, set_timer, is_special, member_of, front_in, lane_key, head_of, write_out, put_in, take_out, note_special,
  begin_to_wait, firsts, leave_group, end_to_wait, leave, withdraw, first_ready, has_untroubled, is_before, fronts_of,
  note_user, offer_lane
end)()
