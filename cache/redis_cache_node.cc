#include "cache/redis_cache_node.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <mutex>
#include <utility>

#include "cache/redis_connection.h"
#include "cache/redis_format.h"
#include "cache/redis_generation.h"
#include "cache/redis_pool.h"
#include "cache/redis_scripts.h"
#include "cache/redis_sweep.h"
#include "core/error.h"

namespace annulus {
namespace {

constexpr std::size_t kKeysPerCommand = 64;  // of those in one command: other clients wait for as long
constexpr std::size_t kBytesPerCommand = std::size_t{1} << 20;
constexpr int kGenerationChanges = 4;                           // that a fresh write follows
constexpr std::int64_t kLongestLifeMs = std::int64_t{1} << 46;  // some 2,000 years; Redis takes no sum over 2^63

/// Items [begin, end) of a batch, which are one command.
struct Part {
  std::size_t begin = 0;
  std::size_t end = 0;
};

/// Cuts items into parts, and those into trips. `bytes_of(i)`: what item i adds.
template <class BytesOf>
std::vector<std::vector<Part>> cut_into_trips(std::size_t count, BytesOf bytes_of) {
  std::vector<std::vector<Part>> trips;
  std::size_t trip_items = 0;
  std::size_t trip_bytes = 0;
  std::size_t part_bytes = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t bytes = bytes_of(i);
    const bool new_trip =
        trips.empty() || trip_items == RedisCacheNode::kKeysPerTrip || trip_bytes + bytes > RedisCacheNode::kBytesPerTrip;
    if (new_trip) {
      trips.emplace_back();
      trip_items = trip_bytes = 0;
    }
    std::vector<Part>& parts = trips.back();
    if (parts.empty() || i - parts.back().begin == kKeysPerCommand || part_bytes + bytes > kBytesPerCommand) {
      parts.push_back({i, i});
      part_bytes = 0;
    }
    ++parts.back().end;
    ++trip_items;
    trip_bytes += bytes;
    part_bytes += bytes;
  }
  return trips;
}

/// The names of the entries of keys [begin, end), as long as it lives.
class EntryNames {
 public:
  template <class KeyOf>
  EntryNames(const RedisGenerationState& state, const Part& part, KeyOf key_of) {
    names_.reserve(part.end - part.begin);
    for (std::size_t i = part.begin; i < part.end; ++i) {
      std::string& name = names_.emplace_back();
      name.reserve(state.entries.size() + key_of(i).size());
      name.append(state.entries).append(key_of(i));
    }
  }

  void append_to(std::vector<std::string_view>& command) const { command.insert(command.end(), names_.begin(), names_.end()); }

 private:
  std::vector<std::string> names_;
};

struct Counters {
  std::atomic<std::uint64_t> hits{0};
  std::atomic<std::uint64_t> misses{0};
  std::atomic<std::uint64_t> expired{0};
  std::array<std::atomic<std::uint64_t>, 3> outcomes{};  // by CacheOutcome
};

}  // namespace

class RedisCacheNode::Impl {
 public:
  Impl(std::string id, RedisCacheOptions options)
      : id_(std::move(id)),
        options_(std::move(options)),
        names_(options_.prefix, id_),
        pool_(options_, [this] { return connect(); }) {}

  const std::string& id() const noexcept { return id_; }

  void check() {
    pool_.run([&](RedisConnection& connection) { generation_.agree(connection); });
  }

  std::uint64_t generation() {
    RedisGenerationPtr state = generation_.state();
    if (state) return state->epoch;
    check();
    state = generation_.state();
    return state->epoch;
  }

  void invalidate() {
    pool_.run([&](RedisConnection& connection) { generation_.begin_new(connection); });
  }

  void get(std::span<const KeyView> keys, std::vector<std::optional<CacheEntry>>& entries) {
    const auto trips = cut_into_trips(keys.size(), [&](std::size_t i) { return keys[i].size(); });
    std::uint64_t expired = 0;
    pool_.run([&](RedisConnection& connection) {
      entries.assign(keys.size(), std::nullopt);
      expired = 0;
      for (const std::vector<Part>& parts : trips) expired += read_trip(connection, keys, parts, entries);
    });
    const auto hits =
        static_cast<std::uint64_t>(std::ranges::count_if(entries, [](const auto& entry) { return entry.has_value(); }));
    counters_.hits += hits;
    counters_.misses += entries.size() - hits;
    counters_.expired += expired;
  }

  void write(std::span<const CacheWrite> writes, std::vector<CacheOutcome>& outcomes, std::optional<std::uint64_t> only_in) {
    outcomes.assign(writes.size(), CacheOutcome::kSuperseded);
    generation();
    if (!has_ended(only_in, *generation_.state())) {
      const auto trips = cut_into_trips(
          writes.size(), [&](std::size_t i) { return writes[i].key.size() + writes[i].value.size() + RedisValueHeader::kBytes; });
      pool_.run([&](RedisConnection& connection) {
        for (const std::vector<Part>& parts : trips) write_trip(connection, writes, parts, outcomes, only_in);
      });
    }
    for (const CacheOutcome outcome : outcomes) ++counters_.outcomes[static_cast<std::size_t>(outcome)];
  }

  std::uint64_t forget(std::span<const KeyView> keys) {
    const auto trips = cut_into_trips(keys.size(), [&](std::size_t i) { return keys[i].size(); });
    return pool_.run([&](RedisConnection& connection) {
      std::uint64_t live = 0;
      for (const std::vector<Part>& parts : trips) live += forget_trip(connection, keys, parts);
      return live;
    });
  }

  void scan(CacheCursor& cursor, std::size_t limit, std::vector<std::string>& page) {
    if (cursor.done) return;
    pool_.run([&](RedisConnection& connection) {
      const RedisGenerationPtr state = generation_.state();
      const std::string count = std::to_string(std::clamp<std::size_t>(limit, 1, kKeysPerTrip));
      connection.append({"SCAN", std::to_string(cursor.position), "MATCH", names_.all_entries(state->number), "COUNT", count});
      connection.append({"GET", names_.generation()});
      RedisSweep::Step sweep(sweep_, connection, *state);
      connection.send();
      const RedisReply reply = connection.receive_value();
      const RedisReply record = connection.receive_value();
      sweep.receive();
      if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2) connection.fail_unexpected("SCAN");
      if (text_of(*record) != state->record) {  // another generation's keys: the scan goes on at the same place
        generation_.agree(connection);
        return;
      }
      append_live_keys(connection, *state, *reply->element[1], page);
      const std::string_view next = text_of(*reply->element[0]);
      if (std::from_chars(next.data(), next.data() + next.size(), cursor.position).ec != std::errc{}) {
        connection.fail_unexpected("SCAN");
      }
      cursor.done = cursor.position == 0;
    });
  }

  CacheNodeStats stats() const {
    CacheNodeStats stats;
    stats.hits = counters_.hits;
    stats.misses = counters_.misses;
    stats.expired = counters_.expired;
    stats.stored = counters_.outcomes[static_cast<std::size_t>(CacheOutcome::kStored)];
    stats.superseded = counters_.outcomes[static_cast<std::size_t>(CacheOutcome::kSuperseded)];
    stats.rejected = counters_.outcomes[static_cast<std::size_t>(CacheOutcome::kRejected)];
    stats.failures = pool_.failures();
    stats.last_error = pool_.last_error();
    return stats;
  }

 private:
  CacheTime now() const { return options_.now ? options_.now() : CacheClock::now(); }

  std::unique_ptr<RedisConnection> connect() {
    auto connection = std::make_unique<RedisConnection>(options_);
    generation_.agree(*connection);
    connection->append({"SCRIPT", "LOAD", redis_scripts::kWrite});
    connection->send();
    const RedisReply reply = connection->receive_value();
    const std::lock_guard lock(script_mutex_);
    write_script_ = text_of(*reply);
    return connection;
  }

  std::string write_script() const {
    const std::lock_guard lock(script_mutex_);
    return write_script_;
  }

  /// Fills entries of the parts; returns how many had expired. Parts that found another generation are asked for once more.
  std::uint64_t read_trip(RedisConnection& connection, std::span<const KeyView> keys, std::vector<Part> parts,
                          std::vector<std::optional<CacheEntry>>& entries) {
    std::uint64_t expired = 0;
    for (int attempt = 0; attempt < 2 && !parts.empty(); ++attempt) {
      const RedisGenerationPtr state = attempt == 0 ? generation_.state() : generation_.agree(connection);
      for (const Part& part : parts) {
        std::vector<std::string_view> command{"MGET", names_.generation()};
        const EntryNames names(*state, part, [&](std::size_t i) { return keys[i]; });
        names.append_to(command);
        connection.append(command);
      }
      RedisSweep::Step sweep(sweep_, connection, *state);
      connection.send();
      std::vector<Part> again;
      for (const Part& part : parts) {
        const RedisReply reply = connection.receive_value();
        if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 1 + part.end - part.begin) connection.fail_unexpected("MGET");
        if (text_of(*reply->element[0]) != state->record) {
          again.push_back(part);
          continue;
        }
        for (std::size_t i = part.begin; i < part.end; ++i) {
          entries[i] = entry_of(text_of(*reply->element[1 + i - part.begin]), expired);
        }
      }
      sweep.receive();
      parts = std::move(again);
    }
    return expired;
  }

  std::optional<CacheEntry> entry_of(std::string_view bytes, std::uint64_t& expired) const {
    const std::optional<RedisValueHeader> header = parse_header(bytes);
    if (!header || header->kind == CacheWriteKind::kErase) return std::nullopt;
    if (header->expires != kNeverExpires && header->expires <= now()) {
      ++expired;
      return std::nullopt;
    }
    return CacheEntry{std::string(bytes.substr(RedisValueHeader::kBytes)), header->version, header->expires};
  }

  /// Whether all that the node held in generation `only_in` is gone.
  static bool has_ended(std::optional<std::uint64_t> only_in, const RedisGenerationState& state) {
    return only_in && *only_in != 0 && *only_in < state.since;
  }

  /// A write follows the generation where it changes, unless it may only be made in the one that ended: what was older than it
  /// is gone then. Where it is of this one, and from before a version was forgotten (or before any was known), it could bring back
  /// what was overwritten, and what is older than it may be there still: it is made as an erase.
  void write_trip(RedisConnection& connection, std::span<const CacheWrite> writes, std::vector<Part> parts,
                  std::vector<CacheOutcome>& outcomes, std::optional<std::uint64_t> only_in) {
    RedisGenerationPtr state = generation_.state();
    bool by_source = false;  // the server forgot the script
    for (int changes = 0; !parts.empty();) {
      if (has_ended(only_in, *state)) return;
      const bool as_erase = only_in && *only_in != state->epoch;
      for (const Part& part : parts) append_writes(connection, *state, writes, part, as_erase, by_source);
      RedisSweep::Step sweep(sweep_, connection, *state);
      connection.send();
      std::vector<Part> again;
      bool changed = false;
      for (const Part& part : parts) {
        const RedisReply reply = connection.receive();
        if (is_error(*reply) && text_of(*reply).starts_with("NOSCRIPT") && !by_source) {
          again.push_back(part);
        } else if (is_error(*reply)) {
          connection.fail(*reply);
        } else if (reply->type == REDIS_REPLY_INTEGER && reply->integer == -1) {
          changed = true;
          again.push_back(part);
        } else {
          read_outcomes(connection, *reply, part, as_erase, outcomes);
        }
      }
      sweep.receive();
      parts = std::move(again);
      by_source = true;
      if (changed) {
        if (++changes > kGenerationChanges) connection.fail_unexpected("EVAL, for a generation that lasts,");
        state = generation_.agree(connection);
      }
    }
  }

  void append_writes(RedisConnection& connection, const RedisGenerationState& state, std::span<const CacheWrite> writes,
                     const Part& part, bool as_erase, bool by_source) const {
    const EntryNames names(state, part, [&](std::size_t i) { return writes[i].key; });
    const std::string script = by_source ? redis_scripts::kWrite : write_script();
    const std::string num_keys = std::to_string(1 + part.end - part.begin);
    std::vector<std::string_view> command{by_source ? "EVAL" : "EVALSHA", script, num_keys, names_.generation()};
    names.append_to(command);
    command.push_back(state.record);
    std::vector<std::string> values;
    values.reserve(2 * (part.end - part.begin));
    for (std::size_t i = part.begin; i < part.end; ++i) {
      const CacheWrite& write = writes[i];
      const std::int64_t left = milliseconds_of(write.expires) - milliseconds_of(now());
      // What has expired already is worth remembering only.
      const bool is_entry = write.kind == CacheWriteKind::kPut && left > 0 && !as_erase;
      std::string& value = values.emplace_back();
      value.reserve(RedisValueHeader::kBytes + write.value.size());
      append_header(value, {is_entry ? CacheWriteKind::kPut : CacheWriteKind::kErase, write.version, write.expires});
      if (is_entry) value += write.value;
      const std::int64_t life = std::max<std::int64_t>(as_erase ? 0 : left, options_.remembered.count());
      values.push_back(life > kLongestLifeMs ? "0" : std::to_string(life));
    }
    command.insert(command.end(), values.begin(), values.end());
    connection.append(command);
  }

  void read_outcomes(const RedisConnection& connection, const redisReply& reply, const Part& part, bool as_erase,
                     std::vector<CacheOutcome>& outcomes) {
    if (reply.type != REDIS_REPLY_ARRAY || reply.elements != part.end - part.begin) connection.fail_unexpected("EVALSHA");
    bool forgot = false;
    for (std::size_t i = part.begin; i < part.end; ++i) {
      switch (reply.element[i - part.begin]->integer) {
        case 0: outcomes[i] = as_erase ? CacheOutcome::kSuperseded : CacheOutcome::kStored; break;
        case 1: outcomes[i] = CacheOutcome::kSuperseded; break;
        default: outcomes[i] = CacheOutcome::kRejected; forgot = true;
      }
    }
    if (forgot) generation_.refuse_older_copies();
  }

  std::uint64_t forget_trip(RedisConnection& connection, std::span<const KeyView> keys, std::vector<Part> parts) {
    std::uint64_t live = 0;
    for (int attempt = 0; attempt < 2 && !parts.empty(); ++attempt) {
      const RedisGenerationPtr state = attempt == 0 ? generation_.state() : generation_.agree(connection);
      const std::string time = time_bytes(now());
      const std::string expiry = time_bytes(now() + options_.remembered);
      const std::string life = std::to_string(options_.remembered.count());
      for (const Part& part : parts) {
        const EntryNames names(*state, part, [&](std::size_t i) { return keys[i]; });
        const std::string num_keys = std::to_string(1 + part.end - part.begin);
        std::vector<std::string_view> command{"EVAL", redis_scripts::kForget, num_keys, names_.generation()};
        names.append_to(command);
        command.insert(command.end(), {state->record, time, life, expiry});
        connection.append(command);
      }
      RedisSweep::Step sweep(sweep_, connection, *state);
      connection.send();
      std::vector<Part> again;
      for (const Part& part : parts) {
        const RedisReply reply = connection.receive_value();
        if (reply->type == REDIS_REPLY_INTEGER) {
          again.push_back(part);
          continue;
        }
        if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2) connection.fail_unexpected("EVAL");
        live += static_cast<std::uint64_t>(reply->element[0]->integer);
        if (reply->element[1]->integer != 0) generation_.refuse_older_copies();
      }
      sweep.receive();
      parts = std::move(again);
    }
    return live;
  }

  void append_live_keys(RedisConnection& connection, const RedisGenerationState& state, const redisReply& names,
                        std::vector<std::string>& page) const {
    if (names.elements == 0) return;
    constexpr int kLastHeaderByte = static_cast<int>(RedisValueHeader::kBytes) - 1;
    for (std::size_t i = 0; i < names.elements; ++i) {
      connection.append({"GETRANGE", text_of(*names.element[i]), "0", std::to_string(kLastHeaderByte)});
    }
    connection.send();
    std::uint64_t expired = 0;
    for (std::size_t i = 0; i < names.elements; ++i) {
      const RedisReply header = connection.receive_value();
      const std::string_view name = text_of(*names.element[i]);
      if (!name.starts_with(state.entries) || !entry_of(text_of(*header), expired)) continue;
      page.emplace_back(name.substr(state.entries.size()));
    }
  }

  const std::string id_;
  const RedisCacheOptions options_;
  const RedisNames names_;
  RedisGeneration generation_{names_};
  RedisSweep sweep_{names_};
  mutable std::mutex script_mutex_;
  std::string write_script_;  // its name at the server
  Counters counters_;
  RedisPool pool_;
};

namespace {

std::string checked_id(std::string id) {
  if (id.empty()) throw Error(ErrorCode::kInvalidArgument, "the id of a RedisCacheNode is empty; it names the node on the ring");
  return id;
}

RedisCacheOptions checked(RedisCacheOptions options) {
  options.validate();
  return options;
}

}  // namespace

RedisCacheNode::RedisCacheNode(std::string id, RedisCacheOptions options)
    : impl_(std::make_unique<Impl>(checked_id(std::move(id)), checked(std::move(options)))) {}

RedisCacheNode::~RedisCacheNode() = default;

void RedisCacheNode::check() { impl_->check(); }

const std::string& RedisCacheNode::id() const noexcept { return impl_->id(); }

std::optional<CacheEntry> RedisCacheNode::get(KeyView key) {
  std::vector<std::optional<CacheEntry>> entries;
  impl_->get(std::span(&key, 1), entries);
  return std::move(entries[0]);
}

void RedisCacheNode::get(std::span<const KeyView> keys, std::vector<std::optional<CacheEntry>>& entries) {
  impl_->get(keys, entries);
}

CacheOutcome RedisCacheNode::write(const CacheWrite& write, std::optional<std::uint64_t> only_in) {
  std::vector<CacheOutcome> outcomes;
  impl_->write(std::span(&write, 1), outcomes, only_in);
  return outcomes[0];
}

void RedisCacheNode::write(std::span<const CacheWrite> writes, std::vector<CacheOutcome>& outcomes,
                           std::optional<std::uint64_t> only_in) {
  impl_->write(writes, outcomes, only_in);
}

std::uint64_t RedisCacheNode::forget(std::span<const KeyView> keys) { return impl_->forget(keys); }

void RedisCacheNode::scan(CacheCursor& cursor, std::size_t limit, std::vector<std::string>& page) {
  impl_->scan(cursor, limit, page);
}

std::uint64_t RedisCacheNode::generation() const noexcept {
  try {
    return impl_->generation();
  } catch (const std::exception&) {
    return 0;  // a copy that carries it is refused, and the failure has been counted
  }
}

void RedisCacheNode::invalidate() { impl_->invalidate(); }

bool RedisCacheNode::remote() const noexcept { return true; }

CacheNodeStats RedisCacheNode::stats() const { return impl_->stats(); }

}  // namespace annulus
