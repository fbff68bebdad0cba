// The Lua that Redis runs for RedisCacheNode: what must happen at once. Each leaves everything alone, and returns -1, if the record
// of the generation, its first key, is not the first argument.
// A full server refuses to write, unless the script has removed something before: that is how versions are remembered there.
#pragma once

namespace annulus::redis_scripts {

/// Records: KEYS record; ARGV expected ('' for none), new. Returns the record that holds then.
inline constexpr char kReplaceRecord[] = R"(
local record = redis.call('GET', KEYS[1]) or ''
if record ~= ARGV[1] then return record end
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[1], ARGV[2])
return ARGV[2])";

/// Writes: KEYS record, names...; ARGV record, life of a version that finds no room, then for each name its value and its life
/// (milliseconds, 0: for ever). Returns for each 0 stored, 1 superseded, 2 no room: a tombstone is left there.
/// Versions, 96 bits, are compared as two numbers of 48: Lua's own have 53 bits, and its strings are compared by the locale.
inline constexpr char kWrite[] = R"(
local call, pcall, unpack = redis.call, redis.pcall, struct.unpack
if call('GET', KEYS[1]) ~= ARGV[1] then return -1 end
local function set(name, value, life)
  if life == '0' then return pcall('SET', name, value) end
  return pcall('SET', name, value, 'PX', life)
end
local full = false
local outcomes = {}
for i = 2, #KEYS do
  local name, value, life = KEYS[i], ARGV[2 * i - 1], ARGV[2 * i]
  local old = call('GETRANGE', name, '0', '21')
  local outcome = 0
  if #old == 22 and old:byte(1) == value:byte(1) then
    local old_high, old_low = unpack('>I6I6', old, 3)
    local high, low = unpack('>I6I6', value, 3)
    if high < old_high or (high == old_high and low <= old_low) then outcome = 1 end
  end
  if outcome == 0 and not full then
    local reply = set(name, value, life)
    full = reply.err and reply.err:find('OOM ', 1, true)
    if reply.err and not full then return reply end
  end
  if outcome == 0 and full then
    call('UNLINK', name)
    if value:byte(2) == 0 then
      outcome = 2
      value = value:sub(1, 1) .. '\1' .. value:sub(3, 22)
      life = ARGV[2]
    end
    local reply = set(name, value, life)
    if reply.err then return reply end
  end
  outcomes[i - 1] = outcome
end
return outcomes)";

/// Forgets: KEYS record, names...; ARGV record, the time as the 8 bytes of a header. Returns how many were live.
inline constexpr char kForget[] = R"(
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end
local now_high, now_low = struct.unpack('>I4I4', ARGV[2])
local live = 0
for i = 2, #KEYS do
  local old = redis.call('GETRANGE', KEYS[i], 0, 21)
  if #old == 22 and old:byte(2) == 0 then
    local high, low = struct.unpack('>I4I4', old, 15)
    if high > now_high or (high == now_high and low > now_low) then live = live + 1 end
  end
  redis.call('UNLINK', KEYS[i])
end
return live)";

/// Sweeps: KEYS record, swept, names of older generations...; ARGV record, and what to store under swept ('' for nothing yet).
/// Returns 1.
inline constexpr char kSweep[] = R"(
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end
for i = 3, #KEYS do redis.call('UNLINK', KEYS[i]) end
if ARGV[2] ~= '' then
  redis.call('DEL', KEYS[2])
  redis.call('SET', KEYS[2], ARGV[2])
end
return 1)";

}  // namespace annulus::redis_scripts
