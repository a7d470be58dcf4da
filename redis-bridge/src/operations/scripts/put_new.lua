-- put_new: writes a record unless one exists. One script, because between a check and a write
-- another caller could write, and because the stored answer of the idempotency key must be written
-- with the record. KEYS record, answer. ARGV TTL of the answer in ms, version, value, TTL in ms
-- ('0' for ever). Returns the version, or an empty string if a record exists.
local seen = redis.call('GET', KEYS[2])
if seen then
  redis.call('SET', KEYS[2], seen, 'PX', ARGV[1])
  return seen
end
local answer = ''
if redis.call('EXISTS', KEYS[1]) == 0 then
  if ARGV[4] == '0' then
    redis.call('SET', KEYS[1], ARGV[2] .. ARGV[3])
  else
    redis.call('SET', KEYS[1], ARGV[2] .. ARGV[3], 'PX', ARGV[4])
  end
  answer = ARGV[2]
end
redis.call('SET', KEYS[2], answer, 'PX', ARGV[1])
return answer
