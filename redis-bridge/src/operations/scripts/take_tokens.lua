-- take_tokens: takes tokens from a rate-limit bucket, which starts full. One script, because two
-- callers that both read the last token would both take it. The bucket is one number: the time, in
-- microseconds, at which it is full again. The current time is the bridge's, because TIME is not
-- granted; a bucket never waits longer than one period, so a bridge whose clock is ahead delays
-- others by at most that. KEYS bucket, answer. ARGV TTL of the answer in ms, now, period in
-- microseconds, capacity, tokens. Returns '0' if granted, else the microseconds until the tokens
-- are there. A refusal takes nothing, so its answer is not kept: a stranger who is refused leaves
-- nothing behind, and a retry is answered as the bucket is then.
local seen = redis.call('GET', KEYS[2])
if seen then
  redis.call('SET', KEYS[2], seen, 'PX', ARGV[1])
  return seen
end
local now, period = tonumber(ARGV[2]), tonumber(ARGV[3])
local capacity, tokens = tonumber(ARGV[4]), tonumber(ARGV[5])
local answer = ARGV[3]
if tokens <= capacity then
  local full = tonumber(redis.call('GET', KEYS[1]) or '') or now
  full = math.min(math.max(full, now), now + period)
  local later = full + tokens * period / capacity
  -- A microsecond of slack for the rounding of the division.
  local wait = math.ceil(later - now - period - 1)
  if wait <= 0 then
    redis.call('SET', KEYS[1], string.format('%.0f', later), 'PX', string.format('%.0f', math.ceil((later - now) / 1000)))
    answer = '0'
    redis.call('SET', KEYS[2], answer, 'PX', ARGV[1])
  else
    answer = string.format('%.0f', wait)
  end
end
return answer
