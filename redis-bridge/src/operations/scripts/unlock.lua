-- unlock: releases a lock of its owner. One script, because between a check of the owner and the
-- deletion the lock can expire and be taken by another owner. KEYS lock, answer. ARGV TTL of the
-- answer in ms, owner. Returns '1' if the owner held it, else '0'.
local seen = redis.call('GET', KEYS[2])
if seen then
  redis.call('SET', KEYS[2], seen, 'PX', ARGV[1])
  return seen
end
local answer = '0'
if redis.call('GET', KEYS[1]) == ARGV[2] then
  redis.call('DEL', KEYS[1])
  answer = '1'
end
redis.call('SET', KEYS[2], answer, 'PX', ARGV[1])
return answer
