-- lock: takes a lock unless another owner holds it. One script, because between a check of the
-- owner and the write another gateway could take the lock, and both would redeem one upstream
-- refresh token. KEYS lock, answer. ARGV TTL of the answer in ms, owner, TTL in ms. Returns '1' if
-- the owner holds it now, else '0'.
local seen = redis.call('GET', KEYS[2])
if seen then
  redis.call('SET', KEYS[2], seen, 'PX', ARGV[1])
  return seen
end
local owner = redis.call('GET', KEYS[1])
local answer = '0'
if not owner or owner == ARGV[2] then
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
  answer = '1'
end
redis.call('SET', KEYS[2], answer, 'PX', ARGV[1])
return answer
