-- take: reads and deletes a record in one step. One script, because between a read and a delete a
-- second caller could read the same code (RFC 6749 §4.1.2: a code is used once). The record is
-- stored as the answer of the idempotency key, so that only a retry of the same caller gets it
-- again. KEYS record, answer. ARGV TTL of the answer in ms. Returns the record, or an empty string
-- if there is none.
local seen = redis.call('GET', KEYS[2])
if seen then
  redis.call('SET', KEYS[2], seen, 'PX', ARGV[1])
  return seen
end
local found = redis.call('GET', KEYS[1])
-- A record has at least the 8 bytes of its version.
if found and #found >= 8 then
  -- The answer first: if there is no memory for it, nothing is taken.
  redis.call('SET', KEYS[2], found, 'PX', ARGV[1])
  redis.call('DEL', KEYS[1])
  return found
end
redis.call('SET', KEYS[2], '', 'PX', ARGV[1])
return ''
