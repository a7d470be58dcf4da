-- put_new: writes a record only where none lives. One script, because looking and writing must not
-- be parted (two callers would both find the place free), and because the memory of the idempotency
-- key must be written with the record. KEYS record, memory. ARGV memory life in ms, version, value,
-- life in ms ('0' for ever). Answers the version, or nothing when a record lives there.
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
