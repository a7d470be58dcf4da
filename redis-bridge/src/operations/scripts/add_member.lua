-- add_member: adds a member to a set and extends the TTL of the set to at least the given one. One
-- script, because the size and the TTL of the set are read before they are written: of two callers
-- at once the shorter TTL could win, or both could add the last member. KEYS set, answer. ARGV TTL
-- of the answer in ms, member, TTL in ms ('0' for ever), maximum of members. Returns '1' if the
-- member is new, '0' if it was there, 'full' at the maximum.
local seen = redis.call('GET', KEYS[2])
if seen then
  redis.call('SET', KEYS[2], seen, 'PX', ARGV[1])
  return seen
end
local members = redis.call('SMEMBERS', KEYS[1])
local answer = '1'
for _, member in ipairs(members) do
  if member == ARGV[2] then
    answer = '0'
  end
end
if answer == '1' and #members >= tonumber(ARGV[4]) then
  return 'full'
end
local life = redis.call('PTTL', KEYS[1])
redis.call('SADD', KEYS[1], ARGV[2])
if ARGV[3] == '0' then
  if life >= 0 then
    -- PERSIST is not granted: only a new set has no TTL.
    redis.call('DEL', KEYS[1])
    redis.call('SADD', KEYS[1], ARGV[2])
    for _, member in ipairs(members) do
      redis.call('SADD', KEYS[1], member)
    end
  end
elseif life == -2 or (life >= 0 and life < tonumber(ARGV[3])) then
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
redis.call('SET', KEYS[2], answer, 'PX', ARGV[1])
return answer
