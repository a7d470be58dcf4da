-- remove_member: takes from a set. One script, because a retry must not remove a member that
-- another caller added after the first try: the removal and the memory of its idempotency key go
-- together. KEYS set, memory. ARGV memory life in ms, member. Answers '1' when it was there, else
-- '0'.
local seen = redis.call('GET', KEYS[2])
if seen then
  redis.call('SET', KEYS[2], seen, 'PX', ARGV[1])
  return seen
end
local answer = '0'
if redis.call('SREM', KEYS[1], ARGV[2]) == 1 then
  answer = '1'
end
redis.call('SET', KEYS[2], answer, 'PX', ARGV[1])
return answer
