-- compare_and_swap: writes a record over the given version only. One script, because between the
-- comparison and the write the version could change, and two holders of one refresh token could
-- both rotate it. KEYS record, answer. ARGV TTL of the answer in ms, version, value, TTL in ms ('0'
-- for ever), expected version. Returns the version, or an empty string on a conflict.
local seen = redis.call('GET', KEYS[2])
if seen then
  redis.call('SET', KEYS[2], seen, 'PX', ARGV[1])
  return seen
end
local found = redis.call('GET', KEYS[1])
local answer = ''
if found and #found >= 8 and string.sub(found, 1, 8) == ARGV[5] then
  if ARGV[4] == '0' then
    redis.call('SET', KEYS[1], ARGV[2] .. ARGV[3])
  else
    redis.call('SET', KEYS[1], ARGV[2] .. ARGV[3], 'PX', ARGV[4])
  end
  answer = ARGV[2]
end
redis.call('SET', KEYS[2], answer, 'PX', ARGV[1])
return answer
