// The Lua that Redis runs for RedisCacheNode: what must happen at once. Each leaves everything alone if the record of the
// generation, its first key, is not what the first argument says. Errors of a full server are caught, because it must drop what is
// older.
#pragma once

namespace annulus::redis_scripts {

/// Records: KEYS record; ARGV expected ('' for none), new. Returns the record that holds then.
inline constexpr char kReplaceRecord[] = R"(
local record = redis.call('GET', KEYS[1]) or ''
if record ~= ARGV[1] then return record end
redis.call('SET', KEYS[1], ARGV[2])
return ARGV[2])";

/// For room: KEYS record; ARGV expected.
inline constexpr char kDropRecord[] = R"(
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1)";

/// For room: KEYS record, names...; the one without a first argument: while there is no record. Returns 1, or -1.
inline constexpr char kDropWithoutRecord[] = R"(
if redis.call('EXISTS', KEYS[1]) == 1 then return -1 end
for i = 2, #KEYS do redis.call('DEL', KEYS[i]) end
return 1)";

/// Writes: KEYS record, names...; ARGV record, then for each name its value and milliseconds to live (0: for ever).
/// Returns for each 0 stored, 1 superseded, 2 no room; or the number -1: another generation.
/// Versions are compared as numbers of 32 bits: Lua's own have 53, and its strings are compared by the locale.
inline constexpr char kWrite[] = R"(
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end
local outcomes = {}
for i = 2, #KEYS do
  local value, life = ARGV[2 * i - 2], ARGV[2 * i - 1]
  local old = redis.call('GETRANGE', KEYS[i], 0, 21)
  local outcome = 0
  if #old == 22 and old:byte(1) == value:byte(1) then
    local old_high, old_low, old_writer = struct.unpack('>I4I4I4', old:sub(3, 14))
    local high, low, writer = struct.unpack('>I4I4I4', value:sub(3, 14))
    local newer = writer > old_writer
    if low ~= old_low then newer = low > old_low end
    if high ~= old_high then newer = high > old_high end
    if not newer then outcome = 1 end
  end
  if outcome == 0 then
    local reply
    if life == '0' then
      reply = redis.pcall('SET', KEYS[i], value)
    else
      reply = redis.pcall('SET', KEYS[i], value, 'PX', life)
    end
    if reply.err then
      if not reply.err:find('OOM ', 1, true) then return reply end
      redis.call('UNLINK', KEYS[i])
      outcome = 2
    end
  end
  outcomes[i - 1] = outcome
end
return outcomes)";

/// Forgets: KEYS record, names...; ARGV record, the time now as the 8 bytes of a header, life and expiry of what stays:
/// a tombstone of the same version. Returns how many were live, and how many versions are not remembered for want of room;
/// or the number -1.
inline constexpr char kForget[] = R"(
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end
local now_high, now_low = struct.unpack('>I4I4', ARGV[2])
local live, lost = 0, 0
for i = 2, #KEYS do
  local old = redis.call('GETRANGE', KEYS[i], 0, 21)
  if #old == 22 and old:byte(2) == 0 then
    local high, low = struct.unpack('>I4I4', old:sub(15, 22))
    if high > now_high or (high == now_high and low > now_low) then live = live + 1 end
    local reply = redis.pcall('SET', KEYS[i], old:sub(1, 1) .. '\1' .. old:sub(3, 14) .. ARGV[4], 'PX', ARGV[3])
    if reply.err then
      redis.call('UNLINK', KEYS[i])
      lost = lost + 1
    end
  end
end
return {live, lost})";

/// Sweeps: KEYS record, swept, names of older generations...; ARGV record, and what to store under swept ('' for nothing yet).
/// Returns 1, or -1.
inline constexpr char kSweep[] = R"(
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end
for i = 3, #KEYS do redis.call('UNLINK', KEYS[i]) end
if ARGV[2] ~= '' then redis.pcall('SET', KEYS[2], ARGV[2]) end
return 1)";

}  // namespace annulus::redis_scripts
