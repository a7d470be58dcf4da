-- compare_and_swap: writes only over the version named. One script, because the version that is
-- compared must still be the one that is overwritten, or two holders of one refresh token could
-- both rotate it. KEYS record, memory. ARGV memory life in ms, version, value, life in ms ('0' for
-- ever), expected version. Answers the version, or nothing on a conflict.
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
