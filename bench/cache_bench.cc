#include "bench/cache_bench.h"

#include <time.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <latch>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "bench/lru_baseline.h"
#include "bench/redis_cache_bench.h"
#include "cache/distributed_cache.h"
#include "cache/in_memory_cache_node.h"
#include "core/error.h"
#include "core/version.h"

namespace annulus::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kKeyBytes = 16;
constexpr std::size_t kPlentyBytes = std::size_t{1} << 40;  // items are the bound that counts

double median(std::vector<double> samples) {
  std::sort(samples.begin(), samples.end());
  const std::size_t middle = samples.size() / 2;
  return samples.size() % 2 == 1 ? samples[middle] : (samples[middle - 1] + samples[middle]) / 2;
}

Json range(const std::vector<double>& samples) { return {*std::ranges::min_element(samples), *std::ranges::max_element(samples)}; }

void check(const CacheBenchOptions& options) {
  const auto require = [](bool holds, const std::string& what) {
    if (!holds) throw Error(ErrorCode::kInvalidArgument, "options of a cache benchmark: " + what);
  };
  require(options.items >= 1000, std::to_string(options.items) + " items; take at least 1000");
  require(options.value_bytes >= 1 && options.value_bytes <= std::size_t{1} << 20,
          "values of " + std::to_string(options.value_bytes) + " bytes; take 1 to 1048576");
  require(!options.threads.empty(), "no number of threads; give at least one, e.g. 1,2");
  for (const std::size_t threads : options.threads)
    require(threads >= 1 && threads <= 256, std::to_string(threads) + " threads; take 1 to 256");
  require(options.operations >= 1 && options.nodes >= 1 && options.repetitions >= 1,
          "operations, nodes and repetitions must be at least 1");
}

/// The speeds of one method in each repetition, ours and the baseline's.
struct Comparison {
  std::string method;
  std::vector<double> ours;
  std::vector<double> baseline;
  std::vector<double> ratios;
  double our_hits = 0;  // of all that was asked for
  double baseline_hits = 0;
};

class CacheBench {
 public:
  explicit CacheBench(const CacheBenchOptions& options)
      : options_(options),
        // Room for a little more than nine tenths of the keys: enough that all `items` are there, and puts push some out.
        capacity_{.items = options.items + options.items / 20, .bytes = kPlentyBytes},
        value_(options.value_bytes, '\0') {
    std::mt19937_64 random(1);
    const std::size_t keys = options.items * 10 / 9;
    for (std::size_t i = 0; i < keys; ++i) {
      std::string key(kKeyBytes, '\0');
      for (char& c : key) c = static_cast<char>(random());
      keys_.push_back(std::move(key));
    }
    const std::size_t most_threads = *std::ranges::max_element(options.threads);
    for (std::size_t thread = 0; thread < most_threads; ++thread) {
      std::vector<std::uint32_t>& order = orders_.emplace_back(options.operations);
      for (std::uint32_t& key : order) key = static_cast<std::uint32_t>(random() % keys_.size());
    }
  }

  Json run() {
    Json rows = Json::array();
    for (const std::size_t threads : options_.threads) add_memory_rows(threads, rows);
    add_routing_rows(rows);
    return rows;
  }

 private:
  template <typename Put>
  void fill(Put&& put) const {
    for (std::size_t key = 0; key < options_.items; ++key) put(key);
  }

  Version next_version() { return {clock_.fetch_add(1, std::memory_order_relaxed), 0}; }
  bool node_put(std::size_t key) {
    return node_->write({.key = keys_[key], .value = value_, .version = next_version()}) == CacheOutcome::kStored;
  }
  template <typename Found>
  bool checked(const Found& found, std::string_view value) const {
    if (found && value.size() != value_.size()) {
      throw Error(ErrorCode::kInternal, "a cache gave a value of " + std::to_string(value.size()) + " bytes, put were " +
                                            std::to_string(value_.size()) + "; this is a bug, please report it");
    }
    return found.has_value();
  }
  bool node_get(std::size_t key) {
    const auto found = node_->get(keys_[key]);
    return checked(found, found ? std::string_view(found->value) : std::string_view());
  }
  bool baseline_get(std::size_t key) {
    const auto found = baseline_->get(keys_[key]);
    return checked(found, found ? std::string_view(*found) : std::string_view());
  }
  /// Operations a second of `threads` threads together, each in an order of its own. Adds to hits_ and asked_.
  template <typename Act>
  double time(std::size_t threads, Act&& act) {
    struct Work {
      Clock::time_point start;
      Clock::time_point end;
      std::size_t hits = 0;
    };
    std::vector<Work> works(threads);
    std::latch ready(static_cast<std::ptrdiff_t>(threads));
    std::vector<std::thread> team;
    for (std::size_t thread = 0; thread < threads; ++thread) {
      team.emplace_back([&, thread] {
        Work work;
        ready.arrive_and_wait();
        work.start = Clock::now();
        for (const std::uint32_t key : orders_[thread]) work.hits += act(key) ? 1 : 0;
        work.end = Clock::now();
        works[thread] = work;
      });
    }
    for (std::thread& member : team) member.join();
    const auto start = std::ranges::min_element(works, {}, &Work::start)->start;
    const auto end = std::ranges::max_element(works, {}, &Work::end)->end;
    const double seconds = std::chrono::duration<double>(end - start).count();
    std::size_t hits = 0;
    for (const Work& work : works) hits += work.hits;
    const std::size_t operations = threads * options_.operations;
    hit_rate_ = static_cast<double>(hits) / static_cast<double>(operations);
    return static_cast<double>(operations) / seconds;
  }

  void add_memory_rows(std::size_t threads, Json& rows) {
    node_.emplace("node", capacity_);
    baseline_.emplace(capacity_.items);
    fill([this](std::size_t key) { return node_put(key); });
    fill([this](std::size_t key) {
      baseline_->put(keys_[key], value_);
      return true;
    });
    Comparison get;
    get.method = "get";
    Comparison put;
    put.method = "put";
    const auto measure = [&](Comparison& pair, auto&& ours, auto&& baseline) {
      pair.baseline.push_back(time(threads, baseline));
      pair.baseline_hits = hit_rate_;
      pair.ours.push_back(time(threads, ours));
      pair.our_hits = hit_rate_;
      pair.ratios.push_back(pair.ours.back() / pair.baseline.back());
    };
    for (std::size_t i = 0; i < options_.repetitions; ++i) {
      measure(
          get, [this](std::size_t key) { return node_get(key); }, [this](std::size_t key) { return baseline_get(key); });
    }
    for (std::size_t i = 0; i < options_.repetitions; ++i) {
      measure(
          put, [this](std::size_t key) { return node_put(key); },
          [this](std::size_t key) {
            baseline_->put(keys_[key], value_);
            return true;
          });
    }
    for (const Comparison* pair : {&get, &put}) {
      for (const bool is_baseline : {true, false}) {
        const std::vector<double>& speeds = is_baseline ? pair->baseline : pair->ours;
        Json row{{"method", pair->method},
                 {"engine", is_baseline ? "unordered_map_and_list" : "annulus"},
                 {"threads", threads},
                 {"per_second", median(speeds)},
                 {"per_second_range", range(speeds)}};
        if (pair == &get) row["hit_rate"] = is_baseline ? pair->baseline_hits : pair->our_hits;
        if (!is_baseline) {
          row["ratio_to_baseline"] = median(pair->ratios);
          row["ratio_range"] = range(pair->ratios);
        }
        row["value_bytes"] = options_.value_bytes;
        rows.push_back(std::move(row));
      }
    }
  }

  /// Nanoseconds of processor time for each call of `act`, on this thread. Each call needs the result of the one before, which
  /// is 0, to know its key: so it is not run beside it, as it could not be in a program that does something with the value.
  template <typename Act>
  double nanoseconds(Act&& act) const {
    const auto now = [] {
      timespec time{};
      clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
      return 1e9 * static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec);
    };
    const double start = now();
    std::size_t zero = 0;
    for (const std::uint32_t key : orders_.front()) zero = act(key + zero);
    return (now() - start) / static_cast<double>(options_.operations);
  }

  // The same nodes, asked through the cache and directly: each key's node is known beforehand.
  void add_routing_rows(Json& rows) {
    DistributedCache cache;
    std::vector<std::shared_ptr<InMemoryCacheNode>> nodes;
    for (std::size_t i = 0; i < options_.nodes; ++i) {
      const CacheCapacity part{.items = std::max<std::size_t>(capacity_.items / options_.nodes * 3 / 2, 1), .bytes = kPlentyBytes};
      nodes.push_back(std::make_shared<InMemoryCacheNode>("node-" + std::to_string(i), part));
      cache.attach_node(nodes.back());
    }
    std::vector<InMemoryCacheNode*> owners;
    for (const std::string& key : keys_) {
      const std::string id = cache.placement(key).front();
      owners.push_back(std::ranges::find(nodes, id, [](const auto& node) { return node->id(); })->get());
    }
    fill([&](std::size_t key) { return cache.put(keys_[key], value_); });
    VersionClock clock(1);
    const auto add = [&](const std::string& method, auto&& bare, auto&& routed) {
      std::vector<double> bare_ns, routed_ns, overheads;
      for (std::size_t i = 0; i < options_.repetitions; ++i) {
        bare_ns.push_back(nanoseconds(bare));
        routed_ns.push_back(nanoseconds(routed));
        overheads.push_back(routed_ns.back() - bare_ns.back());
      }
      rows.push_back({{"method", method},
                      {"nodes", options_.nodes},
                      {"replicas", 1},
                      {"ns_per_call", median(routed_ns)},
                      {"ns_range", range(routed_ns)},
                      {"ns_bare_node", median(bare_ns)},
                      {"ns_overhead", median(overheads)},
                      {"ns_overhead_range", range(overheads)},
                      {"value_bytes", options_.value_bytes}});
    };
    const auto last_byte = [](const std::string& value) { return static_cast<std::size_t>(value.back()); };
    add(
        "routed_get",
        [&](std::size_t key) {
          const auto found = owners[key]->get(keys_[key]);
          return found ? last_byte(found->value) : 0;
        },
        [&](std::size_t key) {
          const auto found = cache.get(keys_[key]);
          return found ? last_byte(*found) : 0;
        });
    add(
        "routed_put",
        [&](std::size_t key) {
          const CacheOutcome outcome = owners[key]->write({.key = keys_[key], .value = value_, .version = clock.next()});
          return outcome == CacheOutcome::kStored ? std::size_t{0} : std::size_t{1};
        },
        [&](std::size_t key) { return 1 - cache.put(keys_[key], value_); });
  }

  const CacheBenchOptions options_;
  const CacheCapacity capacity_;
  std::optional<InMemoryCacheNode> node_;
  std::optional<LruBaseline> baseline_;
  const std::string value_;
  std::vector<std::string> keys_;
  std::vector<std::vector<std::uint32_t>> orders_;  // keys by number, for each thread
  std::atomic<std::uint64_t> clock_{1};
  double hit_rate_ = 0;  // of what time() ran last
};

}  // namespace

Json cache_bench(const CacheBenchOptions& options) {
  check(options);
  Json rows = CacheBench(options).run();
  if (options.redis) {
    for (Json& row : redis_cache_rows()) rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace annulus::bench
