-- unlock: gives a lock back. One script, because between looking for the owner and deleting, the
-- lock can end and become another's. KEYS lock, memory. ARGV memory life in ms, owner. Answers '1'
-- when it was the owner's, else '0'.
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
