-- One user of a bot, while users have a limit.
--
-- TWIN  engine/brokers/memory/lanes.py (User)
-- USES  keys windows records state

local
  users, user_of, save_user
= (function()

local users = {} -- those of this call, by key

local function user_of(bot, user_id)
  if not user_id or limits.user.count == 0 then return nil end
  local user_key = key.user(bot.bot_id, user_id)
  local user = users[user_key]
  if not user then
    local raw = read(user_key)
    user = {bot = bot, user_id = user_id, key = user_key, raw = raw, gate = gates.unpacked(raw, limits.user)}
    users[user_key] = user
  end
  return user
end

-- A user is forgotten by Redis itself: nothing of it waits for time but its gate.
local function save_user(user)
  local packed = gates.packed(user.gate)
  if packed == (user.raw or "") then return end
  if user.gate.in_flight > 0 then
    call("SET", user.key, packed)
  else
    put_for(user.key, user.raw, packed, user.gate.limit.window_ms)
  end
end

return
  users, user_of, save_user
end)()
