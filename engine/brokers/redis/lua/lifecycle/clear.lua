-- Throw the queue away, and remove its keys page by page, while no other process does the same.
--
-- One script for each page, because the process that removes them may freeze in between, and
-- go on when another has begun a queue and rebuilt it.
--
-- KEYS
--   1 state  string  what says that there is no queue, and which incarnation may begin
-- ARGV
--   1 incarnation  2 whether this is the first page ("1" or "")  3 the ledger that begins one ("-": none)  4... keys
-- RETURNS
--   {"done", {}}
--   {"foreign"}   nothing was done: the queue belongs to another ledger
--   {"gone"}      nothing was done: another has begun to do the same, or is ready
-- COST  O(1) for each key; what it holds is freed by another thread
-- USES  keys records state

local state_key = unpack(KEYS)
local incarnation, is_first, ledger = unpack(ARGV)

if is_first == "1" then
  local ledger_key = string.sub(state_key, 1, -6) .. "ledger"
  local owner = call("GET", ledger_key)
  if owner and ledger ~= "-" and owner ~= ledger then return {"foreign"} end
  call("UNLINK", state_key) -- a full Redis lets a script write only after it has removed something
  call("SET", state_key, cleared_state(tonumber(incarnation)))
  if ledger ~= "-" then call("SET", ledger_key, ledger) end
end

load_state(state_key)
if not (state and state.is_cleared and state.incarnation == tonumber(incarnation)) then return {"gone"} end

local names = {}
for index = 4, #ARGV do names[#names + 1] = ARGV[index] end
in_runs("UNLINK", names)
return {"done", cmsgpack.pack({})}
