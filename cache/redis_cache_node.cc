#include "cache/redis_cache_node.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <utility>

#include "cache/redis_connection.h"
#include "cache/redis_format.h"
#include "cache/redis_generation.h"
#include "cache/redis_pool.h"
#include "cache/redis_scripts.h"
#include "cache/redis_sweep.h"
#include "cache/redis_trips.h"
#include "cache/redis_writer.h"
#include "core/error.h"

namespace annulus {
namespace {

constexpr int kGenerationChanges = 4;  // that forgetting follows

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
    if (const RedisGenerationPtr state = generation_.state()) return state->number;
    check();
    return generation_.state()->number;
  }

  void invalidate() {
    pool_.run([&](RedisConnection& connection) { generation_.begin_new(connection); });
  }

  void get(std::span<const KeyView> keys, std::vector<std::optional<CacheEntry>>& entries) {
    entries.clear();
    if (keys.empty()) return;
    std::uint64_t expired = 0;
    pool_.run([&](RedisConnection& connection) {
      entries.assign(keys.size(), std::nullopt);
      expired = 0;
      for (const RedisTrip& trip : trips_of(keys)) expired += read_trip(connection, keys, trip, entries);
    });
    const auto hits =
        static_cast<std::uint64_t>(std::ranges::count_if(entries, [](const auto& entry) { return entry.has_value(); }));
    counters_.hits += hits;
    counters_.misses += entries.size() - hits;
    counters_.expired += expired;
  }

  void write(std::span<const CacheWrite> writes, std::vector<CacheOutcome>& outcomes, std::optional<std::uint64_t> only_in) {
    outcomes.assign(writes.size(), CacheOutcome::kSuperseded);
    if (writes.empty()) return;
    // What is of a generation that has ended need not be sent.
    if (!only_in || *only_in == kUnknownGeneration || *only_in == generation()) {
      pool_.run([&](RedisConnection& connection) { writer_.write(connection, writes, outcomes, only_in); });
    }
    for (const CacheOutcome outcome : outcomes) ++counters_.outcomes[static_cast<std::size_t>(outcome)];
  }

  std::uint64_t forget(std::span<const KeyView> keys) {
    if (keys.empty()) return 0;
    return pool_.run([&](RedisConnection& connection) {
      std::uint64_t live = 0;
      for (const RedisTrip& trip : trips_of(keys)) live += forget_trip(connection, keys, trip);
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
  static std::vector<RedisTrip> trips_of(std::span<const KeyView> keys) {
    return cut_into_trips(keys.size(), kKeysPerTrip, kBytesPerTrip, [&](std::size_t i) { return keys[i].size(); });
  }

  std::unique_ptr<RedisConnection> connect() {
    auto connection = std::make_unique<RedisConnection>(options_);
    generation_.agree(*connection);
    writer_.load_script(*connection);
    return connection;
  }

  /// Fills entries of the trip; returns how many had expired. Parts that found another generation are asked for once more.
  std::uint64_t read_trip(RedisConnection& connection, std::span<const KeyView> keys, RedisTrip trip,
                          std::vector<std::optional<CacheEntry>>& entries) {
    std::uint64_t expired = 0;
    for (int attempt = 0; attempt < 2 && !trip.empty(); ++attempt) {
      const RedisGenerationPtr state = attempt == 0 ? generation_.state() : generation_.agree(connection);
      const auto append = [&](const RedisPart& part) {
        connection.begin(2 + part.size());
        connection.add("MGET");
        connection.add(names_.generation());
        for (const KeyView key : keys.subspan(part.begin, part.size())) connection.add(state->entries, key);
      };
      const auto take = [&](const RedisPart& part, const redisReply& reply) {
        if (is_error(reply)) connection.fail(reply);
        if (reply.type != REDIS_REPLY_ARRAY || reply.elements != 1 + part.size()) connection.fail_unexpected("MGET");
        if (text_of(*reply.element[0]) != state->record) return false;
        for (std::size_t i = 0; i < part.size(); ++i) {
          entries[part.begin + i] = entry_of(text_of(*reply.element[1 + i]), expired);
        }
        return true;
      };
      trip = make_trip(connection, sweep_, *state, trip, append, take);
    }
    return expired;
  }

  std::optional<CacheEntry> entry_of(std::string_view bytes, std::uint64_t& expired) const {
    const std::optional<RedisValueHeader> header = parse_header(bytes);
    if (!header || header->kind == CacheWriteKind::kErase) return std::nullopt;
    if (header->expires != kNeverExpires && header->expires <= options_.time()) {
      ++expired;
      return std::nullopt;
    }
    return CacheEntry{std::string(bytes.substr(RedisValueHeader::kBytes)), header->version, header->expires};
  }

  /// Returns how many were live. Parts that found another generation are forgotten in that one.
  std::uint64_t forget_trip(RedisConnection& connection, std::span<const KeyView> keys, RedisTrip trip) {
    std::uint64_t live = 0;
    const std::string time = time_bytes(options_.time());
    for (int attempt = 0; !trip.empty(); ++attempt) {
      if (attempt > kGenerationChanges) connection.fail_unexpected("EVAL, for a generation that lasts,");
      const RedisGenerationPtr state = attempt == 0 ? generation_.state() : generation_.agree(connection);
      const auto append = [&](const RedisPart& part) {
        connection.begin(6 + part.size());
        connection.add("EVAL");
        connection.add(redis_scripts::kForget);
        connection.add(std::to_string(1 + part.size()));
        connection.add(names_.generation());
        for (const KeyView key : keys.subspan(part.begin, part.size())) connection.add(state->entries, key);
        connection.add(state->record);
        connection.add(time);
      };
      const auto take = [&](const RedisPart&, const redisReply& reply) {
        if (is_error(reply)) connection.fail(reply);
        if (reply.type != REDIS_REPLY_INTEGER) connection.fail_unexpected("EVAL");
        if (reply.integer > 0) live += static_cast<std::uint64_t>(reply.integer);
        return reply.integer >= 0;
      };
      trip = make_trip(connection, sweep_, *state, trip, append, take);
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
  RedisWriter writer_{options_, names_, generation_, sweep_};
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
    return kUnknownGeneration;  // the failure has been counted
  }
}

void RedisCacheNode::invalidate() { impl_->invalidate(); }

bool RedisCacheNode::remote() const noexcept { return true; }

CacheNodeStats RedisCacheNode::stats() const { return impl_->stats(); }

}  // namespace annulus
