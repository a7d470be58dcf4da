-- delete: deletes a record. One script, because a retry must not delete what another caller wrote
-- after the first try, so the answer is stored with the deletion. KEYS record, answer. ARGV TTL of
-- the answer in ms. Returns '1' if there was a record, else '0'.
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
