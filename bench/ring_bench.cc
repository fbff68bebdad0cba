#include "bench/ring_bench.h"

#include <time.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"
#include "ring/hash_ring.h"
#include "ring/replica_table.h"
#include "ring/ring_diff.h"

namespace annulus::bench {
namespace {

/// Processor time of this thread: all that is measured runs on it, and what other programs take is left out.
struct Clock {
  using duration = std::chrono::nanoseconds;
  using time_point = std::chrono::time_point<Clock>;

  static time_point now() noexcept {
    timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return time_point(std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec));
  }
};

constexpr std::size_t kLookups = std::size_t{1} << 16;  // keys and tokens of a pass: they fit the L2 cache, the answers are checked
constexpr std::size_t kPasses = 8;                      // timed, after one that is not and warms the caches
constexpr std::size_t kBatch = 32;
constexpr std::size_t kKeyBytes = 16;
constexpr std::size_t kCalls = 4;  // of each operation in a repetition, after the first
constexpr std::size_t kClones = 100'000;

double nanoseconds_since(Clock::time_point start) { return std::chrono::duration<double, std::nano>(Clock::now() - start).count(); }

/// The times of one method, one for each repetition.
class Times {
 public:
  void add(double nanoseconds) { samples_.push_back(nanoseconds); }

  double median() const {
    std::vector<double> sorted = samples_;
    std::sort(sorted.begin(), sorted.end());
    const std::size_t middle = sorted.size() / 2;
    return sorted.size() % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  }

  Json spread() const { return {*std::ranges::min_element(samples_), *std::ranges::max_element(samples_)}; }

 private:
  std::vector<double> samples_;
};

/// A way to look up all keys (or their tokens) once; it fills `owners`.
struct LookupMethod {
  std::string name;
  std::string baseline;  ///< name of the method that it is compared with
  std::function<void(std::span<NodeIndex> owners)> look_up;
  Times times = {};
};

/// Something done to rings. It runs several times in a row: a first call after other work pays for fresh pages of memory,
/// which later ones, as when several nodes join, do not; so it is reported apart.
struct Operation {
  std::string name;
  std::function<double()> run;  ///< returns nanoseconds
  Times times = {};
  Times first_times = {};
};

class RingBench {
 public:
  explicit RingBench(const RingBenchOptions& options)
      : options_(options), ring_options_{.virtual_nodes_per_weight = options.virtual_nodes} {
    if (options.nodes == 0 || options.repetitions == 0 || options.replicas == 0) {
      throw Error(ErrorCode::kInvalidArgument, "nodes, replicas and repetitions of a ring benchmark must be at least 1");
    }
    for (std::size_t i = 0; i < options.nodes; ++i) nodes_.push_back({"node-" + std::to_string(i), 1.0, ""});
    ring_ = ConsistentHasher(ring_options_, nodes_);
    tokens_.assign(ring_.tokens().begin(), ring_.tokens().end());
    owners_.assign(ring_.owners().begin(), ring_.owners().end());
    table_.emplace(ring_, options.replicas);

    std::mt19937_64 random(1);
    pool_.resize(kLookups * kKeyBytes);
    for (char& c : pool_) c = static_cast<char>(random());
    for (std::size_t i = 0; i < kLookups; ++i) keys_.emplace_back(pool_.data() + i * kKeyBytes, kKeyBytes);
    for (const KeyView key : keys_) key_tokens_.push_back(token_of_key(key));
  }

  Json run() {
    add_lookups();
    add_operations();
    for (std::size_t i = 0; i < options_.repetitions; ++i) {
      for (LookupMethod& method : lookups_) time_lookups(method);
      for (Operation& operation : operations_) time_operation(operation);
    }
    return rows();
  }

 private:
  NodeIndex by_lower_bound(Token token) const {
    const auto at = std::lower_bound(tokens_.begin(), tokens_.end(), token);
    return owners_[at == tokens_.end() ? 0 : static_cast<std::size_t>(at - tokens_.begin())];
  }

  void add_lookups() {
    const auto over_tokens = [this](auto look_up) {
      return [this, look_up](std::span<NodeIndex> owners) {
        for (std::size_t i = 0; i < kLookups; ++i) owners[i] = look_up(key_tokens_[i]);
      };
    };
    const auto over_keys = [this](auto look_up) {
      return [this, look_up](std::span<NodeIndex> owners) {
        for (std::size_t i = 0; i < kLookups; ++i) owners[i] = look_up(keys_[i]);
      };
    };
    lookups_.push_back({"lower_bound", "lower_bound", over_tokens([this](Token token) { return by_lower_bound(token); })});
    lookups_.push_back({"annulus", "lower_bound", over_tokens([this](Token token) { return ring_.primary_of_token(token); })});
    lookups_.push_back({"lower_bound_with_hash", "lower_bound_with_hash",
                        over_keys([this](KeyView key) { return by_lower_bound(token_of_key(key)); })});
    lookups_.push_back(
        {"annulus_with_hash", "lower_bound_with_hash", over_keys([this](KeyView key) { return ring_.primary(key); })});
    lookups_.push_back({"annulus_batch", "lower_bound_with_hash", [this](std::span<NodeIndex> owners) {
                          for (std::size_t i = 0; i < kLookups; i += kBatch) {
                            ring_.primaries(std::span(keys_).subspan(i, kBatch), owners.subspan(i, kBatch));
                          }
                        }});
    lookups_.push_back({"replicas_by_table", "annulus", over_tokens([this](Token token) {
                          const std::span<const NodeIndex> replicas = table_->replicas(token);
                          last_replica_ = replicas.back();
                          return replicas.front();
                        })});
    walked_.resize(table_->num_replicas());
    lookups_.push_back({"replicas_by_walk", "annulus", over_tokens([this](Token token) {
                          ring_.replicas(token, walked_);
                          last_replica_ = walked_.back();
                          return walked_.front();
                        })});
  }

  void add_operations() {
    const auto timed = [](auto act) {
      return [act] {
        const Clock::time_point start = Clock::now();
        const auto result = act();  // kept, so that its destruction is not timed
        return nanoseconds_since(start);
      };
    };
    const Node joiner{"joiner", 1.0, ""};
    ConsistentHasher joined = ring_;
    joined.add_node(joiner);
    operations_.push_back({"rebuild", timed([this] { return ConsistentHasher(ring_options_, nodes_); })});
    operations_.push_back({"add", timed([this, joiner] {
                             ConsistentHasher ring = ring_;
                             ring.add_node(joiner);
                             return ring;
                           })});
    operations_.push_back({"remove", timed([joined] {
                             ConsistentHasher ring = joined;
                             ring.remove_node("joiner");
                             return ring;
                           })});
    operations_.push_back({"set_weight", timed([joined] {
                             ConsistentHasher ring = joined;
                             ring.set_weight("joiner", 2.0);
                             return ring;
                           })});
    operations_.push_back({"replica_table", timed([this] { return ReplicaTable(ring_, options_.replicas); })});
    operations_.push_back({"diff", timed([this, joined] { return diff(ring_, joined, options_.replicas); })});
    const auto clones = [](const ConsistentHasher& ring) {
      return [ring] {
        std::vector<ConsistentHasher> kept(64);
        const Clock::time_point start = Clock::now();
        for (std::size_t i = 0; i < kClones; ++i) kept[i % kept.size()] = ring.clone();
        return nanoseconds_since(start) / static_cast<double>(kClones);
      };
    };
    operations_.push_back({"clone", clones(ring_)});
    operations_.push_back({"clone_of_one_node", clones(ConsistentHasher(ring_options_, std::span(nodes_).first(1)))});
    change_ = diff(ring_, joined, options_.replicas);
  }

  void time_lookups(LookupMethod& method) {
    found_.assign(kLookups, kNoNode);
    method.look_up(found_);
    const Clock::time_point start = Clock::now();
    for (std::size_t pass = 0; pass < kPasses; ++pass) method.look_up(found_);
    method.times.add(nanoseconds_since(start) / static_cast<double>(kPasses * kLookups));
    for (std::size_t i = 0; i < kLookups; ++i) {
      if (found_[i] == by_lower_bound(key_tokens_[i])) continue;
      throw Error(ErrorCode::kInternal, method.name + " and std::lower_bound find different owners of token " +
                                            std::to_string(key_tokens_[i]) + "; this is a bug, please report it");
    }
  }

  static void time_operation(Operation& operation) {
    operation.first_times.add(operation.run());
    double sum = 0.0;
    for (std::size_t call = 0; call < kCalls; ++call) sum += operation.run();
    operation.times.add(sum / static_cast<double>(kCalls));
  }

  template <class Methods>
  static double median_of(const Methods& methods, const std::string& name) {
    return std::ranges::find(methods, name, [](const auto& method) { return method.name; })->times.median();
  }

  Json rows() const {
    Json rows = Json::array();
    for (const LookupMethod& method : lookups_) {
      Json row{{"method", method.name}, {"ns_per_lookup", method.times.median()}, {"ns_range", method.times.spread()}};
      if (method.baseline == "annulus") {
        row["replicas"] = options_.replicas;
        row["ratio_to_primary"] = method.times.median() / median_of(lookups_, method.baseline);
      } else {
        row["ratio_to_lower_bound"] = median_of(lookups_, method.baseline) / method.times.median();
      }
      if (method.name == "annulus_batch") row["batch"] = kBatch;
      rows.push_back(std::move(row));
    }
    for (const Operation& operation : operations_) {
      Json row{{"method", operation.name},
               {"ns_per_call", operation.times.median()},
               {"ns_range", operation.times.spread()},
               {"ns_first_call", operation.first_times.median()}};
      const bool is_change = operation.name == "add" || operation.name == "remove" || operation.name == "set_weight";
      if (is_change) row["ratio_to_rebuild"] = median_of(operations_, "rebuild") / operation.times.median();
      if (operation.name == "replica_table") row["replicas"] = options_.replicas;
      if (operation.name == "diff") {
        row["replicas"] = options_.replicas;
        row["arcs"] = change_->changes.size();
        row["excess_fraction"] = change_->stats().excess_fraction;
      }
      rows.push_back(std::move(row));
    }
    rows.push_back({{"method", "memory"},
                    {"nodes", ring_.num_nodes()},
                    {"tokens", ring_.num_tokens()},
                    {"bytes_per_token", ring_.bytes_per_token()}});
    return rows;
  }

  RingBenchOptions options_;
  RingOptions ring_options_;
  std::vector<Node> nodes_;
  ConsistentHasher ring_;
  std::optional<ReplicaTable> table_;
  std::optional<RingDiff> change_;  // of a join
  std::vector<Token> tokens_;       // the baseline's own
  std::vector<NodeIndex> owners_;
  std::vector<char> pool_;
  std::vector<KeyView> keys_;
  std::vector<Token> key_tokens_;
  std::vector<NodeIndex> found_;
  std::vector<NodeIndex> walked_;
  std::vector<LookupMethod> lookups_;
  std::vector<Operation> operations_;
  volatile NodeIndex last_replica_ = kNoNode;  // read by nobody: the replicas must be fetched, not only the primary
};

}  // namespace

Json ring_bench(const RingBenchOptions& options) { return RingBench(options).run(); }

}  // namespace annulus::bench
