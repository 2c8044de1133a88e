-- Throw the schedule away, and remove its keys page by page, while nobody else does the same.
--
-- One script for each page, because whoever removes them may fall asleep in between, and
-- wake when another has begun a schedule and rebuilt it.
--
-- KEYS
--   1 state  string  what says that there is no schedule, and which incarnation may begin
-- ARGV
--   1 incarnation  2 whether this is the first page ("1" or "")  3... keys
-- RETURNS
--   {"done", {}}
--   {"gone"}      nothing was done: another has begun to do the same, or is ready
-- COST  O(1) for each key; what it holds is freed by another thread

local state_key = unpack(KEYS)
local incarnation, is_first = unpack(ARGV)

if is_first == "1" then
  call("UNLINK", state_key) -- a full Redis lets only those write who have removed something before
  call("SET", state_key, cleared_state(tonumber(incarnation)))
end

load_state(state_key)
if not (state and state.is_cleared and state.incarnation == tonumber(incarnation)) then return {"gone"} end

local names = {}
for place = 3, #ARGV do names[#names + 1] = ARGV[place] end
in_runs("UNLINK", names)
return {"done", cmsgpack.pack({})}
