-- Holds of chats and bots, and what a 429 tells of both.
--
-- TWIN  engine/brokers/memory/holds.py
-- USES  windows state bots chats messages queue

local
  hold, throttle
= (function()

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

local function lower_chat(chat, until_ms)
  lower_limit(chat, limit_of_chat(chat.chat_id), until_ms, 1)
end

-- Lower the limit of the bot if it is meant, else that of the chat, unless the bot is near its own.
local function lower(entry, chat, until_ms, is_bot_meant)
  local bot, of_bot = chat.bot, chat.bot.gate
  if entry.pays then of_bot = paid_gate_of(bot) end
  if is_bot_meant and not entry.pays then
    local refused = 0
    for _, blame in ipairs(bot.blames) do
      if blame[1] > now_ms - limits.bot.window_ms then refused = refused + 1 end
    end
    lower_limit(bot, limits.bot, until_ms, refused)
  elseif not is_bot_meant and (not of_bot or not gates.is_near(of_bot, now_ms)) then
    lower_chat(chat, until_ms)
  end
end

-- Hold a chat, and its bot too when a second chat gives evidence that the bot is meant. A chat near its own limit is
-- meant itself; else its count is doubtful, and that of the bot if the bot is meant. An uncounted call tells nothing of
-- our count; if it is of no chat that messages go to, nothing of the bot either.
local function throttle(entry, until_ms, is_near)
  local chat = chat_of_entry(entry)
  local bot = chat.bot
  local holds = {hold(bot, chat.chat_id, until_ms)}
  local is_counted = entry.cost > 0
  if is_near and is_counted then lower_chat(chat, until_ms) end
  if is_near or not (is_counted or limit_of_chat(chat.chat_id)) then return holds end
  if is_counted then chat.doubt_until_ms = now_ms + constants.DOUBT_MS end
  local blames, blamed = {}, {}
  for _, blame in ipairs(bot.blames) do
    if blame[1] >= now_ms - constants.BLAME_MS then blames[#blames + 1] = blame end
  end
  blames[#blames + 1] = {now_ms, chat.chat_id}
  bot.blames = blames
  local count = 0
  for _, blame in ipairs(blames) do
    local chat_id = resolve(bot, blame[2])
    if not blamed[chat_id] then blamed[chat_id], count = true, count + 1 end
  end
  if is_counted and count > 1 then bot.doubt_until_ms = now_ms + constants.DOUBT_MS end
  if is_counted then lower(entry, chat, until_ms, count > 1) end
  if count > 1 then holds[2] = hold(bot, "", until_ms) end
  return holds
end

return
  hold, throttle
end)()
