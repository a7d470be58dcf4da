-- take: reads and deletes in one step. One script, because a code that is read by one caller and
-- deleted later can be read by a second in between (RFC 6749 section 4.1.2: a code is used once).
-- What was taken stays in the memory of the idempotency key, so that the caller whose answer was
-- lost, and no other caller, gets it again. KEYS record, memory. ARGV memory life in ms. Answers
-- the record, or nothing when none lives.
local seen = redis.call('GET', KEYS[2])
if seen then
  redis.call('SET', KEYS[2], seen, 'PX', ARGV[1])
  return seen
end
local found = redis.call('GET', KEYS[1])
-- Shorter than its version is not a record.
if found and #found >= 8 then
  -- The memory first: if there is no room for it, nothing is taken.
  redis.call('SET', KEYS[2], found, 'PX', ARGV[1])
  redis.call('DEL', KEYS[1])
  return found
end
redis.call('SET', KEYS[2], '', 'PX', ARGV[1])
return ''
