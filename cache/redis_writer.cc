#include "cache/redis_writer.h"

#include <algorithm>

#include "cache/redis_cache_node.h"
#include "cache/redis_scripts.h"

namespace annulus {
namespace {

constexpr int kGenerationChanges = 4;                           // that a write follows
constexpr std::int64_t kLongestLifeMs = std::int64_t{1} << 46;  // some 2,000 years; Redis takes no sum over 2^63

CacheOutcome outcome_of(const redisReply& reply) noexcept {
  switch (reply.integer) {
    case 0: return CacheOutcome::kStored;
    case 1: return CacheOutcome::kSuperseded;
    default: return CacheOutcome::kRejected;
  }
}

}  // namespace

void RedisWriter::load_script(RedisConnection& connection) {
  if (!script_name().empty()) return;
  connection.append({"SCRIPT", "LOAD", redis_scripts::kWrite});
  connection.send();
  const RedisReply reply = connection.receive_value();
  const std::lock_guard lock(mutex_);
  script_name_ = text_of(*reply);
}

std::string RedisWriter::script_name() const {
  const std::lock_guard lock(mutex_);
  return script_name_;
}

void RedisWriter::write(RedisConnection& connection, std::span<const CacheWrite> writes, std::vector<CacheOutcome>& outcomes,
                        std::optional<std::uint64_t> only_in) {
  const auto bytes_of = [&](std::size_t i) { return writes[i].key.size() + writes[i].value.size() + RedisValueHeader::kBytes; };
  for (const RedisTrip& trip :
       cut_into_trips(writes.size(), RedisCacheNode::kKeysPerTrip, RedisCacheNode::kBytesPerTrip, bytes_of)) {
    write_trip(connection, writes, trip, outcomes, only_in);
  }
}

void RedisWriter::write_trip(RedisConnection& connection, std::span<const CacheWrite> writes, RedisTrip trip,
                             std::vector<CacheOutcome>& outcomes, std::optional<std::uint64_t> only_in) {
  // What was on its way since before the generation was known could bring back what was overwritten meanwhile; and what is
  // older than it may be there.
  Mode mode{.as_erase = only_in == RedisCacheNode::kUnknownGeneration};
  RedisGenerationPtr state = generation_.state();
  for (int changes = 0; !trip.empty();) {
    if (only_in && !mode.as_erase && *only_in != state->number) return;
    bool changed = false;
    const auto append_part = [&](const RedisPart& part) { append(connection, *state, writes, part, mode); };
    const auto take = [&](const RedisPart& part, const redisReply& reply) {
      if (is_error(reply) && text_of(reply).starts_with("NOSCRIPT")) return false;
      if (is_error(reply)) connection.fail(reply);
      if (reply.type == REDIS_REPLY_INTEGER && reply.integer == -1) {
        changed = true;
        return false;
      }
      if (reply.type != REDIS_REPLY_ARRAY || reply.elements != part.size()) connection.fail_unexpected("EVALSHA");
      for (std::size_t i = 0; i < part.size(); ++i) outcomes[part.begin + i] = outcome_of(*reply.element[i]);
      return true;
    };
    trip = make_trip(connection, sweep_, *state, trip, append_part, take);
    mode.by_source = true;
    if (changed) {
      if (++changes > kGenerationChanges) connection.fail_unexpected("EVAL, for a generation that lasts,");
      state = generation_.agree(connection);
    }
  }
  if (mode.as_erase) std::ranges::replace(outcomes, CacheOutcome::kStored, CacheOutcome::kSuperseded);
}

void RedisWriter::append(RedisConnection& connection, const RedisGenerationState& state, std::span<const CacheWrite> writes,
                         const RedisPart& part, const Mode& mode) const {
  connection.begin(6 + 3 * part.size());
  connection.add(mode.by_source ? "EVAL" : "EVALSHA");
  connection.add(mode.by_source ? redis_scripts::kWrite : script_name());
  connection.add(std::to_string(1 + part.size()));
  connection.add(names_.generation());
  const std::span<const CacheWrite> own = writes.subspan(part.begin, part.size());
  for (const CacheWrite& write : own) connection.add(state.entries, write.key);
  const std::int64_t remembered = options_.remembered.count();
  connection.add(state.record);
  connection.add(std::to_string(remembered));
  const std::int64_t now = milliseconds_of(options_.time());
  for (const CacheWrite& write : own) {
    const std::int64_t left = milliseconds_of(write.expires) - now;
    // What has expired already is worth remembering only.
    const bool is_entry = write.kind == CacheWriteKind::kPut && left > 0 && !mode.as_erase;
    std::string header;
    append_header(header, {is_entry ? CacheWriteKind::kPut : CacheWriteKind::kErase, write.version, write.expires});
    connection.add(header, is_entry ? write.value : std::string_view());
    const std::int64_t life = std::max(mode.as_erase ? 0 : left, remembered);
    connection.add(life > kLongestLifeMs ? "0" : std::to_string(life));
  }
}

}  // namespace annulus
