-- A limit that a 429 lowers for a while.
--
-- TWIN  engine/limits/aimd.py
-- USES  windows

local adaptive = {}

function adaptive.fresh(limit, least)
  local full = limit.places
  return {
    full = full, places = full, rises_at_ms = 0, lowered_at_ms = false,
    least = math.max(1, math.ceil(full * least)), window_ms = limit.window_ms,
  }
end

function adaptive.lower(adapted, now_ms)
  adapted.rises_at_ms = now_ms + adapted.window_ms
  if not adapted.lowered_at_ms or now_ms - adapted.lowered_at_ms >= adapted.window_ms then
    adapted.lowered_at_ms = now_ms
    local lower = math.max(adapted.least, floor_div(adapted.places * constants.DOWN_PERCENT, 100))
    adapted.places = math.min(adapted.places, lower)
  end
end

function adaptive.rise(adapted, now_ms)
  while adapted.rises_at_ms <= now_ms and adapted.places < adapted.full do
    adapted.places = adapted.places + 1
    adapted.rises_at_ms = adapted.rises_at_ms + adapted.window_ms
  end
end
