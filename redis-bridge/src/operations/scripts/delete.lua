-- delete: deletes a record if it is there. One script, because a retry must not delete what another
-- caller wrote after the first try: the delete and the memory of its idempotency key go together.
-- KEYS record, memory. ARGV memory life in ms. Answers '1' when there was a record, else '0'.
local seen = redis.call('GET', KEYS[2])
if seen then
  redis.call('SET', KEYS[2], seen, 'PX', ARGV[1])
  return seen
end
local answer = '0'
if redis.call('DEL', KEYS[1]) == 1 then
  answer = '1'
end
redis.call('SET', KEYS[2], answer, 'PX', ARGV[1])
return answer
