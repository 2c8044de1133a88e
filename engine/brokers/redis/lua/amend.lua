-- Give waiting messages another content, or another time, or both.
--
-- TWIN  engine/brokers/memory/queue.py (amend)
--
-- KEYS
--   1 state  string  the queue as a whole
-- ARGV
--   1 now_ms ("": the time of Redis)  2 rows, in msgpack: {id, cost, method, ready_at_ms}  3... their bodies
--   method "": it keeps its content    ready_at_ms -1: it keeps its time
-- RETURNS
--   {"done", {whether each was amended}}  false for one that is leased, partly sent or unknown: too late
--   {"gone"}                              nothing was done
-- COST  O(log n) for each
-- USES  state messages queue answer

local state_key = unpack(KEYS)
local given_ms, packed_rows = unpack(ARGV)
local first_body = 3

local refused = open(state_key, given_ms)
if refused then return refused end

-- Move a message to where it waits for another time, or for its turn.
local function move(entry, ready_at_ms)
  pull_out(entry)
  entry.ready_at_ms = ready_at_ms
  if ready_at_ms <= now_ms then enter(entry) else schedule(entry) end
end

local function amend(row, body)
  local message_id, cost, method, ready_at_ms = unpack(row)
  local entry = entry_of(message_id)
  if not entry or entry.number > 0 or entry.cost ~= cost then return false end
  if method ~= "" then entry.method, entry.body = method, body end
  entry.is_changed = true
  if entry.attempt > 0 then return true end -- its time is that of its retry
  if ready_at_ms < 0 or ready_at_ms == entry.ready_at_ms then return true end
  if entry.is_due and ready_at_ms <= now_ms then
    entry.ready_at_ms = ready_at_ms
  else
    move(entry, ready_at_ms)
  end
  return true
end

pass_time()
local rows, ids = cmsgpack.unpack(packed_rows), {}
for index, row in ipairs(rows) do ids[index] = row[1] end
fetch_entries(ids)

local amended, is_any = {}, false
for index, row in ipairs(rows) do
  amended[index] = amend(row, ARGV[first_body + index - 1])
  is_any = is_any or amended[index]
end
if is_any then ring() end
return answer(state_key, amended)
