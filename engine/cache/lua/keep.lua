-- Keep an entry, and drop from the group that has most what is beyond the bound of all groups together.
--
-- KEYS
--   1 entry   string  the entry; expires
--   2 kept    zset    keys of the group's entries, by when they expire, ms
--   3 sizes   hash    bytes of the group's entries, by key
--   4 totals  hash    bytes of each group
-- ARGV
--   1 value  2 for_ms  3 key  4 group  5 name_bytes  6 bytes_max  7 prefix  8 drop_max
-- RETURNS
--   groups from which entries were dropped that had not expired
-- COST  O(log n), and at most drop_max entries of others

local entry, kept, sizes, totals = unpack(KEYS)
local value, for_ms, key, group = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
local name_bytes, bytes_max, prefix, drop_max = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7], tonumber(ARGV[8])

local time = redis.call("TIME")
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)

local function drop(of_group, of_key)
  local of_sizes = prefix .. "sizes:" .. of_group
  local size = tonumber(redis.call("HGET", of_sizes, of_key) or 0)
  redis.call("UNLINK", prefix .. "entry:" .. of_group .. ":" .. of_key)
  redis.call("ZREM", prefix .. "kept:" .. of_group, of_key)
  redis.call("HDEL", of_sizes, of_key)
  redis.call("HINCRBY", totals, of_group, -size)
end

local function biggest()
  local all, most, of_group = redis.call("HGETALL", totals), 0, nil
  local sum = 0
  for i = 1, #all, 2 do
    local bytes = tonumber(all[i + 1])
    sum = sum + bytes
    if bytes > most then
      most, of_group = bytes, all[i]
    end
  end
  return sum, of_group
end

if redis.call("EXISTS", kept) == 0 then  -- they expired, or were evicted
  redis.call("UNLINK", sizes)
  redis.call("HDEL", totals, group)
end
local size = #value + #key + name_bytes
local before = tonumber(redis.call("HGET", sizes, key) or 0)
redis.call("SET", entry, value, "PX", for_ms)
redis.call("HSET", sizes, key, size)
redis.call("ZADD", kept, string.format("%.0f", now_ms + for_ms), key)
redis.call("HINCRBY", totals, group, size - before)
for _, index in ipairs({kept, sizes}) do
  if redis.call("PTTL", index) < for_ms then
    redis.call("PEXPIRE", index, for_ms)
  end
end

local expired = redis.call("ZRANGEBYSCORE", kept, "-inf", string.format("%.0f", now_ms), "LIMIT", 0, drop_max)
for _, of_key in ipairs(expired) do
  drop(group, of_key)
end

local dropped = {}
for _ = 1, drop_max do
  local sum, of_group = biggest()
  if sum <= bytes_max then
    break
  end
  local first = redis.call("ZRANGE", prefix .. "kept:" .. of_group, 0, 0)
  if #first == 0 then  -- its index expired
    redis.call("HDEL", totals, of_group)
  else
    if redis.call("EXISTS", prefix .. "entry:" .. of_group .. ":" .. first[1]) == 1 then
      dropped[#dropped + 1] = of_group
    end
    drop(of_group, first[1])
  end
end
return dropped
