-- Queue messages, then lease what may go now.
--
-- TWIN  engine/brokers/memory/admissions.py
--
-- One script, because a message that may go at once is leased before any other call runs.
--
-- KEYS
--   1 state  string  the queue as a whole
-- ARGV
--   1 now_ms ("": the time of Redis)  2 worker_id  3 slots  4 lease_ms
--   5 connections, as for lease.lua  6 capped ("1" or "")  7 message ids, in msgpack  8... their records
-- RETURNS
--   {"done", {verdicts, leased}, records}  leased as by lease.lua; records of the replaced, expired and leased
--     verdicts: {"queued"} | {"queued", the id it replaced} | {"replaced", by} | {"duplicate"}
--     | {"refused", chat_id or false, cap}
--   {"gone"}, {"barred"}                  nothing was done (without slots a barred one queues)
-- COST  O(log n) for each message, and as lease.lua
-- USES  keys state bots chats messages lanes queue leases answer

local state_key = unpack(KEYS)
local given_ms, worker_id, slots, lease_ms, connections, capped, packed_ids = unpack(ARGV)
local slots_count, first_record = tonumber(slots), 8

local refused = open(state_key, given_ms, slots_count > 0, true)
if refused then return refused end

local records = {}

-- Tell whether it stands in its lane: a message that was tried does, and its lane waits with it. An uncounted one
-- waits by itself.
local function is_due(entry)
  return entry.ready_at_ms <= now_ms or (entry.first_attempt > 0 and entry.cost > 0)
end

local function note_times(entry, lane)
  if entry.expires_at_ms then call("ZADD", key.expiries(), entry.expires_at_ms, entry.id) end
  if entry.first_attempt > 0 and entry.cost > 0 and entry.ready_at_ms > now_ms then
    lane.wait_until_ms = math.max(lane.wait_until_ms, entry.ready_at_ms)
  end
end

local function add(entry, position)
  local lane = lane_of(entry)
  local chat = lane.chat
  if chat.has_failed and not is_busy(chat) then chat.has_failed = false end
  entry.position = position
  entries[entry.id] = entry
  count_open(entry, 1)
  count_waiting(chat, 1)
  note_edit(chat, entry)
  note_times(entry, lane)
  if is_due(entry) then
    enter(entry)
  else
    schedule(entry)
  end
end

-- Put another message into a place: its lane goes on waiting, and keeps its turn.
local function swap(older, entry)
  local lane = lane_of(older)
  entry.position, entry.is_due = older.position, true
  put_in(lane, member_of(entry))
  take_out(lane, member_of(older))
  withdraw(lane)
  count_open(older, -1)
  note_special(older, -1)
  note_special(entry, 1)
  forget_edit(lane.chat, older)
  if older.expires_at_ms then call("ZREM", key.expiries(), older.id) end
  older.is_gone = true
  entries[entry.id] = entry
  note_edit(lane.chat, entry)
  count_open(entry, 1)
  note_times(entry, lane)
  offer_lane(lane)
  reoffer(lane.line.bot) -- it may cost more or less
end

-- Let a message take the place of one that waits, unless that one is the newer of the two.
local function admit_instead(entry, older)
  if is_before(entry.id, older.id) then return {"replaced", older.id} end
  local position, replaced = older.position, report(records, older)
  if entry.index < older.index then position = entry.id else entry.index = older.index end
  if position == older.position and older.is_due and is_due(entry) then
    swap(older, entry)
  else
    remove(older)
    add(entry, position)
  end
  return {"queued", replaced}
end

local function refusal(bot, chat)
  if chat.chat_id ~= "" and limits.chat_cap > 0 and chat.waiting >= limits.chat_cap then
    return {"refused", chat.chat_id, limits.chat_cap}
  end
  if limits.bot_cap > 0 and bot.waiting >= limits.bot_cap then return {"refused", false, limits.bot_cap} end
  return nil
end

local function admit(entry)
  entry.is_changed = true
  if entry_of(entry.id) then return {"duplicate"} end
  local bot = bot_of(entry.bot_id)
  local chat = chat_of(bot, resolve(bot, entry.chat_id))
  local older = entry.replaces and newest_edit(chat, entry.replaces)
  if older and older.method == entry.method then return admit_instead(entry, older) end
  local refused_by = capped == "1" and refusal(bot, chat)
  if refused_by then return refused_by end
  add(entry, entry.id)
  return {"queued"}
end

pass_time()
local ids, coming, owners = cmsgpack.unpack(packed_ids), {}, {}
for index, message_id in ipairs(ids) do
  local entry = unpack_entry(message_id, ARGV[first_record + index - 1])
  coming[index], owners[index] = entry, {entry.bot_id, entry.chat_id}
end
fetch_entries(ids)
fetch_chats(owners)

local verdicts = {}
for index, entry in ipairs(coming) do verdicts[index] = admit(entry) end
local leased = lease_some(worker_id, slots_count, tonumber(lease_ms), connections, records)
local wake_at_ms, is_kept_back = leased[3], leased[4]
if is_kept_back or (wake_at_ms and (not state.promised_ms or wake_at_ms < state.promised_ms)) then ring() end
return answer(state_key, {verdicts, leased}, records)
