-- put: writes a record, whatever was there. One script, because the record and the memory of its
-- idempotency key must be written together: a retry that found only one of them would either write
-- twice, over another caller's later write, or answer a write that never was. KEYS record,
-- memory. ARGV memory life in ms, version, value, life in ms ('0' for ever). Answers the version.
local seen = redis.call('GET', KEYS[2])
if seen then
  -- Written again, so that a WAIT after this script waits for the first try's write too.
  redis.call('SET', KEYS[2], seen, 'PX', ARGV[1])
  return seen
end
if ARGV[4] == '0' then
  redis.call('SET', KEYS[1], ARGV[2] .. ARGV[3])
else
  redis.call('SET', KEYS[1], ARGV[2] .. ARGV[3], 'PX', ARGV[4])
end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[1])
return ARGV[2]
