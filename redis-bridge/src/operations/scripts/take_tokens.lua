-- take_tokens: takes from a rate-limit bucket, which starts full. One script, because of two
-- callers that both read the last token both would get it. The bucket is one number: the time, in
-- microseconds, at which it will be full again. The time now is the caller's, because the server's
-- clock may not be asked; a bucket never waits longer than one period, so a bridge with a clock
-- ahead of another's can delay it by no more. KEYS bucket, memory. ARGV memory life in ms, now,
-- period in microseconds, capacity, tokens. Answers '0' when granted, else the microseconds until
-- the tokens are there.
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
  else
    answer = string.format('%.0f', wait)
  end
end
redis.call('SET', KEYS[2], answer, 'PX', ARGV[1])
return answer
