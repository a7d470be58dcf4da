-- remove_member: removes a member from a set. One script, because a retry must not remove a member
-- that another caller added after the first try, so the answer is stored with the removal. KEYS
-- set, answer. ARGV TTL of the answer in ms, member. Returns '1' if the member was there, else '0'.
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
