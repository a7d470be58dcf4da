-- put: writes a record unconditionally. One script, because the record and the stored answer of its
-- idempotency key must be written together: with only one of them, a retry would either write
-- twice, over a later write of another caller, or be answered a write that never happened. KEYS
-- record, answer. ARGV TTL of the answer in ms, version, value, TTL in ms ('0' for ever). Returns
-- the version.
local seen = redis.call('GET', KEYS[2])
if seen then
  -- Written again, so that a WAIT after this script covers the first try's write as well.
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
