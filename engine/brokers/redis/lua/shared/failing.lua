-- When a bot is failing, and when it is tried meanwhile.
--
-- TWIN  engine/limits/failing.py
-- USES  state
--
-- A health is {called_since_ms, failures, chats} and {failing} while its bot is. Trials are {at_ms, pause_ms,
-- pause_before_ms, message_id of the last}.

local
  healths
= (function()

local healths = {}

local function fresh_trials()
  local pause_ms = constants.TRIAL_MS_MIN
  return {at_ms = now_ms + pause_ms, pause_ms = pause_ms, pause_before_ms = pause_ms, message_id = ""}
end

local function begin_trial(trials, message_id)
  trials.message_id, trials.pause_before_ms = message_id, trials.pause_ms
  trials.pause_ms = math.min(2 * trials.pause_ms, constants.TRIAL_MS_MAX)
  trials.at_ms = now_ms + trials.pause_ms
end

-- Undo the last trial; false if it was none of this message.
local function give_back_trial(trials, message_id)
  if trials.message_id ~= message_id then return false end
  trials.at_ms = trials.at_ms - trials.pause_ms
  trials.message_id, trials.pause_ms = "", trials.pause_before_ms
  return true
end

local function fresh_failing()
  return {since_ms = now_ms, in_failed_chats = fresh_trials(), in_other_chats = fresh_trials()}
end

function healths.fresh()
  return {called_since_ms = 0, failures = 0, chats = {}}
end

-- Return when the next trial is due, in chats that have failed or in others; 0 if the bot is not failing.
function healths.tried_at_ms(health, in_failed_chat)
  local failing = health.failing
  if not failing then return 0 end
  return (in_failed_chat and failing.in_failed_chats or failing.in_other_chats).at_ms
end

-- Note a lease; while the bot is failing it is a trial.
function healths.begin_call(health, message_id, in_failed_chat)
  if health.called_since_ms == 0 then health.called_since_ms = now_ms end
  local failing = health.failing
  if not failing then return end
  begin_trial(failing.in_failed_chats, message_id)
  if not in_failed_chat then begin_trial(failing.in_other_chats, message_id) end
end

-- Take back a call that was not made, or showed nothing; true if another trial may begin instead.
function healths.give_back(health, message_id)
  local failing = health.failing
  if not failing then return false end
  local in_failed = give_back_trial(failing.in_failed_chats, message_id)
  return give_back_trial(failing.in_other_chats, message_id) or in_failed
end

-- Note a call that failed; true if the bot is failing from now on. ``known_as`` tells by which id a chat is known now.
function healths.fail(health, chat_id, known_as)
  if health.called_since_ms == 0 then health.called_since_ms = now_ms end
  health.failures = health.failures + 1
  local chats, seen = {}, {}
  for _, other in ipairs(health.chats) do
    local name = known_as(other)
    if not seen[name] then chats[#chats + 1], seen[name] = name, true end
  end
  if not seen[chat_id] and #chats < constants.CHATS_MIN then chats[#chats + 1] = chat_id end
  health.chats = chats
  local begins = not health.failing and health.failures >= constants.FAILURES_MIN and #chats >= constants.CHATS_MIN
    and now_ms - health.called_since_ms >= constants.FAILING_AFTER_MS
  if begins then health.failing = fresh_failing() end
  return begins
end

-- Forget all that failed; return what ends by it, if the bot was failing.
function healths.succeed(health)
  local ended = health.failing
  health.called_since_ms, health.failures, health.chats, health.failing = 0, 0, {}, nil
  return ended
end

return
  healths
end)()
