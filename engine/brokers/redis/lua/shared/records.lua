-- Reads the records that a call needs, and collects those that it writes at its end.
--
-- TWIN  none: in Python these are the attributes of objects
-- USES  keys
--
-- Every record is one string, read once, changed as a table, and written at the end if it has become
-- another string. Bots, chats and messages are packed by struct, as all of them are read and written for
-- each message, and msgpack takes three times as long; what is rare in them is msgpack in its place.
-- So whatever a call finds wrong with its arguments, and most of what may go wrong with our code, happens
-- before the first record is written. Only the sorted sets change at once, because the next step of the
-- same call asks them.
--
-- A command costs more than what it does, so what can be read ahead is read together, and what is written waits.

local
  to_set, to_delete, to_keep, to_forget, in_runs, fetch, read, get, put, put_for, time_ms, NONE, some, flag
= (function()

local fetched = {} -- records that were read ahead, false where there is none
local to_set, to_delete, to_keep, to_forget = {}, {}, {}, {} -- records, keys of records, messages, ids of messages

local function in_runs(command, words, ...)
  for start = 1, #words, constants.ARGUMENTS_MAX do
    local run, last = {...}, math.min(#words, start + constants.ARGUMENTS_MAX - 1)
    for index = start, last do run[#run + 1] = words[index] end
    call(command, unpack(run))
  end
end

local function fetch(record_keys)
  if #record_keys == 0 then return end
  for index, raw in ipairs(call("MGET", unpack(record_keys))) do fetched[record_keys[index]] = raw end
end

local function read(record_key)
  local raw = fetched[record_key]
  if raw == nil then raw = call("GET", record_key) end
  return raw
end

local function get(record_key)
  local raw = read(record_key)
  return raw and cmsgpack.unpack(raw), raw
end

local function put(record_key, raw, packed)
  if packed ~= raw then to_set[#to_set + 1], to_set[#to_set + 2] = record_key, packed end
end

-- Write a record of which nothing is needed after a time. Redis forgets it by itself, by its own clock: that
-- of a test may go slower.
local function put_for(record_key, raw, packed, needed_ms)
  if packed ~= raw then call("SET", record_key, packed, "PX", 2 * needed_ms + 1000) end
end

local function time_ms()
  local time = call("TIME")
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- In records: what may be missing where 0 is something.

local NONE = constants.NONE

local function some(number)
  if number == NONE then return nil end
  return number
end

local function flag(value)
  return value and 1 or 0
end

return
  to_set, to_delete, to_keep, to_forget, in_runs, fetch, read, get, put, put_for, time_ms, NONE, some, flag
end)()
