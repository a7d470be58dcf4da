-- add_member: adds to a set, which then lives at least as long as asked. One script, because the
-- bound on the set's size and the life of the set are read before they are written: of two callers
-- at once the shorter life could win, or both could take the last place. KEYS set, memory. ARGV
-- memory life in ms, member, life in ms ('0' for ever), most members. Answers '1' when the member
-- is new, '0' when it was there, 'full' when there is no place.
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
    -- PERSIST is not among the granted commands: only a set made again loses its end.
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
