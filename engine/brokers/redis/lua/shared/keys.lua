-- The keys of the queue.
--
-- TWIN  engine/brokers/redis/keys.py (of what type each is, and what it holds)
--
-- All begin with one hash tag, so they live in one slot of a cluster. Each verb is given
-- the first, ``state``, and makes the others from it.

local call = redis.call
local LINES = constants.LINES
local prefix -- "{q2}:"; the number is SCHEMA

local key = {}

function key.limits() return prefix .. "limits" end
function key.ledger() return prefix .. "ledger" end
function key.clock() return prefix .. "clock" end
function key.counts() return prefix .. "counts" end
function key.bots() return prefix .. "bots" end
function key.messages() return prefix .. "messages" end
function key.timers() return prefix .. "timers" end
function key.expiries() return prefix .. "expiries" end
function key.leases() return prefix .. "leases" end
function key.bell() return prefix .. "bell" end
function key.group(index) return prefix .. "group:" .. LINES[index] end
function key.bot(bot_id) return prefix .. "bot:" .. bot_id end
function key.purse(bot_id) return prefix .. "purse:" .. bot_id end
function key.aliases(bot_id) return prefix .. "aliases:" .. bot_id end
function key.ready(bot_id, index) return prefix .. "ready:" .. LINES[index] .. ":" .. bot_id end
function key.paid(bot_id, index) return prefix .. "paid:" .. LINES[index] .. ":" .. bot_id end
function key.failed(bot_id, index) return prefix .. "failed:" .. LINES[index] .. ":" .. bot_id end
function key.failed_paid(bot_id, index) return prefix .. "failed_paid:" .. LINES[index] .. ":" .. bot_id end
function key.lanes(bot_id, index) return prefix .. "lanes:" .. LINES[index] .. ":" .. bot_id end
function key.chat(bot_id, chat_id) return prefix .. "chat:" .. bot_id .. ":" .. chat_id end
function key.lane(bot_id, index, chat_id)
  return prefix .. "lane:" .. LINES[index] .. ":" .. bot_id .. ":" .. chat_id
end
function key.later(bot_id, chat_id) return prefix .. "later:" .. bot_id .. ":" .. chat_id end
function key.edits(bot_id, chat_id) return prefix .. "edits:" .. bot_id .. ":" .. chat_id end
function key.user(bot_id, user_id) return prefix .. "user:" .. bot_id .. ":" .. user_id end
function key.user_lanes(bot_id, user_id) return prefix .. "user_lanes:" .. bot_id .. ":" .. user_id end
