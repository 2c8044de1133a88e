-- A limit that a 429 lowers, until its true height is found.
--
-- TWIN  engine/limits/aimd.py
-- USES  numbers

local adaptive = {}

function adaptive.fresh(limit, least)
  local full = limit.places
  return {
    full = full, places = full, least = math.max(1, math.ceil(full * least)), window_ms = limit.window_ms,
    failed = full, held_until_ms = 0, rises_at_ms = 0, kept_until_ms = 0,
    patience = constants.PATIENCE, waited = 0, stayed = 0, step = 1,
  }
end

-- ``passed`` is how many calls of this window Telegram has taken, nil if that is unknown.
function adaptive.lower(adapted, now_ms, until_ms, passed)
  local is_new = now_ms >= adapted.held_until_ms
  adapted.held_until_ms = math.max(adapted.held_until_ms, until_ms)
  adapted.rises_at_ms = adapted.held_until_ms + adapted.window_ms
  adapted.kept_until_ms = adapted.held_until_ms + constants.KEPT_MS
  if not is_new then return end
  if not passed or passed < adapted.least or passed >= adapted.places then passed = adapted.places - 1 end
  local start
  local is_probe = adapted.step > 1
  if is_probe then
    adapted.failed = math.max(passed, adapted.stayed) + 1
    start = adapted.failed - 1
  else
    adapted.failed = passed + 1
    start = floor_div(adapted.failed * constants.DOWN_PERCENT, 100)
  end
  adapted.places = math.min(adapted.places, math.max(adapted.least, start))
  local stay = floor_div(constants.HOLDS_STAYED * (until_ms - now_ms), adapted.window_ms)
  local patience = is_probe and 2 * adapted.patience or adapted.patience
  adapted.patience = math.min(constants.PATIENCE_MAX, math.max(patience, stay))
  adapted.waited, adapted.step = 0, 1
end

-- A place was taken; ``is_full`` if none is left. Rise, if a window was full since the last time.
function adaptive.use(adapted, now_ms, is_full)
  if now_ms >= adapted.kept_until_ms then adapted.places = adapted.full end
  adapted.kept_until_ms = math.max(adapted.kept_until_ms, now_ms + constants.KEPT_MS)
  if not is_full or now_ms < adapted.rises_at_ms then return end
  adapted.rises_at_ms = now_ms + adapted.window_ms
  local below = adapted.failed - 1 - adapted.places
  if below > 0 then
    adapted.places = adapted.places + floor_div(below + 1, 2)
  elseif adapted.step == 1 and adapted.waited < adapted.patience then
    adapted.waited = adapted.waited + 1
  else
    if adapted.step == 1 then adapted.stayed = adapted.places end
    adapted.places = math.min(adapted.full, adapted.places + adapted.step)
    adapted.step = 2 * adapted.step
  end
end
