-- A chat that has another id from now on.
--
-- TWIN  engine/brokers/memory/migration.py
-- USES  keys windows bots chats lanes queue

local
  migrate
= (function()

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
  new.has_failed = (old.has_failed and is_busy(old)) or (new.has_failed and is_busy(new))
  if old.gate and new.gate then gates.absorb(new.gate, old.gate) end
  for _, message_id in ipairs(old.flying) do table.insert(new.flying, message_id) end
  new.waiting = new.waiting + old.waiting
  for index = 1, 6 do -- all lanes leave before one enters: what is left empty forgets its debts
    local lane = old.lanes[index]
    if lane then
      withdraw(lane)
      note_user(lane, nil)
      call("ZREM", key.timers(), "lane " .. bot_id .. " " .. index .. " " .. old_id)
      if lane.size > 0 then end_to_wait(lane) end
    end
  end
  for index = 1, 6 do
    local lane = old.lanes[index]
    if lane then
      local new_lane = lane_in(new, index)
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

return
  migrate
end)()
