// Writers, erasers, searchers and getters beside a cluster that never rests: no answer may be wrong, stale, doubled or incomplete.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <map>
#include <mutex>
#include <random>
#include <thread>

#include "core/error.h"
#include "rebalance/cluster_verifier.h"
#include "rebalance/vector_rebalancer.h"
#include "shard/vector_shard.h"
#include "tests/stress/oracle.h"
#include "tests/stress/switchable_shard.h"

namespace annulus::stress {
namespace {

constexpr std::size_t kKeys = 600;
constexpr std::size_t kDimension = 6;
constexpr std::size_t kThreads = 4;
constexpr std::size_t kMostShards = 7;

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

// A kind of index to put under stress.
struct Kind {
  const char* name;
  const char* factory;
  Metric metric;
  SearchCodes codes;
  bool exact;  // searched so that an answer has no excuse
  SearchParams params;
};

RouterOptions options(const Kind& kind) {
  RouterOptions options;
  options.index.dimension = kDimension;
  options.index.metric = kind.metric;
  options.index.factory = kind.factory;
  options.index.search_codes = kind.codes;
  options.replicas = 2;
  options.ring.virtual_nodes_per_weight = 16;
  options.train_at = 0;
  return options;
}

class Stress {
 public:
  Stress(const Kind& kind, std::uint64_t seed)
      : kind_(kind), oracle_(kKeys, kDimension, kind.metric, seed), router_(options(kind)), random_(seed) {
    if (needs_training(router_.options().index)) {
      Matrix samples(1024, static_cast<Eigen::Index>(kDimension));
      for (Eigen::Index i = 0; i < samples.rows(); ++i) samples.row(i) = oracle_.random_query(random_());
      router_.train(samples);
    }
    for (int i = 0; i < 4; ++i) attach();
  }

  void run(std::chrono::seconds time) {
    const auto end = std::chrono::steady_clock::now() + time;
    const auto latest = end + 11 * time;  // on a slow machine, until everything has happened once
    std::vector<std::thread> workers;
    for (std::size_t thread = 0; thread < kThreads; ++thread) {
      workers.emplace_back([this, thread, seed = random_()] { work(thread, seed); });
    }
    for (auto now = std::chrono::steady_clock::now(); !stopped_.load() && (now < end || (now < latest && !missing().empty()));
         now = std::chrono::steady_clock::now()) {
      try {
        churn();
      } catch (const std::exception& error) {
        fail(std::string("churn: ") + error.what());
      }
    }
    stopped_.store(true);
    for (std::thread& worker : workers) worker.join();
  }

  // After all the noise: every key on exactly its owners, as last written.
  void check_the_end() {
    heal();
    finish_resize();
    heal();
    const VerifyReport verified = verify_cluster(router_);
    EXPECT_TRUE(verified.ok()) << verified.arcs_differing << " arcs differ, " << verified.strangers << " strangers, "
                               << verified.unowned << " arcs without owner, " << verified.not_up.size() << " shards not up";
    for (std::size_t number = 0; number < kKeys; ++number) {
      const Tick from = oracle_.now();
      const std::string wrong = oracle_.check_get(number, router_.get(oracle_.key(number)), from);
      EXPECT_TRUE(wrong.empty()) << wrong;
    }
  }

  std::string failure() {
    std::lock_guard lock(failure_mutex_);
    return failure_;
  }

  std::string summary() const {
    std::string text;
    for (const auto& [what, count] : counts_) text += (text.empty() ? "" : ", ") + std::to_string(count) + " " + what;
    return text + ", " + std::to_string(writes_.load()) + " writes, " + std::to_string(refused_.load()) + " refused, " +
           std::to_string(gets_.load()) + " gets, " + std::to_string(searches_.load()) + " searches";
  }
  /// What has not happened yet, of all that the test is about.
  std::string missing() const {
    std::string text;
    for (const char* what : {"joins", "leaves", "re-weights", "changes of R", "completed", "aborted", "blocked", "resumed",
                             "shards cut off", "shards taken down", "shards brought back", "tombstone collections"}) {
      if (!counts_.contains(what)) text += std::string(what) + " ";
    }
    return text;
  }
  std::uint64_t refused() const { return refused_; }
  std::uint64_t writes() const { return writes_; }
  std::uint64_t gets() const { return gets_; }
  std::uint64_t searches() const { return searches_; }
  /// Over all searches of an approximate kind.
  double recall() const { return static_cast<double>(found_) / static_cast<double>(wanted_); }

 private:
  using Random = std::mt19937_64;

  void fail(const std::string& what) {
    std::lock_guard lock(failure_mutex_);
    if (failure_.empty()) failure_ = what;
    stopped_.store(true);
  }

  // --- the users

  void work(std::size_t thread, std::uint64_t seed) {
    Random random(seed);
    while (!stopped_.load()) {
      try {
        const std::uint64_t dice = random() % 10;
        if (dice < 4) {
          write(thread, random);
        } else if (dice < 7) {
          get(random);
        } else {
          search(random);
        }
      } catch (const std::exception& error) {
        fail(error.what());
      }
    }
  }

  // A batch of this thread's own keys, distinct ones.
  void write(std::size_t thread, Random& random) {
    const bool erase = random() % 4 == 0;
    const std::size_t rows = 1 + random() % 4;
    std::map<std::size_t, std::uint64_t> sequences;
    while (sequences.size() < rows) sequences.emplace(random() % (kKeys / kThreads) * kThreads + thread, 0);
    std::vector<std::string> names;
    std::vector<KeyView> keys;
    Matrix vectors(static_cast<Eigen::Index>(rows), static_cast<Eigen::Index>(kDimension));
    for (auto& [number, sequence] : sequences) {
      sequence = oracle_.begin_write(number, erase);
      vectors.row(static_cast<Eigen::Index>(names.size())) = oracle_.vector_of(number, sequence);
      names.push_back(oracle_.key(number));
    }
    for (const std::string& name : names) keys.push_back(name);
    const WriteReport report = erase ? router_.erase(keys) : router_.upsert(keys, vectors);
    std::size_t row = 0;
    for (const auto& [number, sequence] : sequences) {
      const bool failed = std::find(report.failed_rows.begin(), report.failed_rows.end(), row++) != report.failed_rows.end();
      oracle_.end_write(number, sequence, !failed);
      (failed ? refused_ : writes_).fetch_add(1);
    }
  }

  void get(Random& random) {
    const std::size_t number = random() % kKeys;
    const Tick from = oracle_.now();
    const std::optional<Vector> answer = router_.get(oracle_.key(number));
    const std::string wrong = oracle_.check_get(number, answer, from);
    if (!wrong.empty()) fail(wrong);
    gets_.fetch_add(1);
  }

  void search(Random& random) {
    const std::size_t k = 1 + random() % 20;
    const Vector query = oracle_.random_query(random());
    // all keys, or one in so many, found by whichever way
    const std::size_t step = std::size_t{1} << (random() % 4 * 2);
    const Oracle::Accepts accepts = [step](std::size_t number) { return number % step == 0; };
    const KeyFilter filter = [&](KeyView key) { return accepts(std::stoul(std::string(key.substr(key.find('-') + 1)))); };
    SearchOptions options{.params = kind_.params};
    if (step > 1) options.filter = &filter;
    const Tick from = oracle_.now();
    const SearchResult result = router_.search(query, k, options);
    if (result.coverage != 1.0) fail("a search covers only " + std::to_string(result.coverage));
    Oracle::Recall recall;
    const std::string wrong = kind_.exact ? oracle_.check_search(query, k, result[0], from, accepts)
                                          : oracle_.check_approximate_search(query, k, result[0], from, recall, accepts);
    if (!wrong.empty()) fail(wrong);
    wanted_.fetch_add(recall.wanted);
    found_.fetch_add(recall.found);
    searches_.fetch_add(1);
  }

  // --- the operator

  void attach() {
    const std::string id = "shard-" + std::to_string(next_shard_++);
    auto shard = std::make_shared<SwitchableShard>(std::make_shared<VectorShard>(id, router_.options().index));
    router_.attach_node(shard, 0.5 + static_cast<double>(random_() % 4) / 2, "");
    shards_[id] = shard;
  }

  std::string any_shard() {
    const ConsistentHasher ring = router_.ring();
    return ring.node(static_cast<NodeIndex>(random_() % ring.num_nodes())).id;
  }

  void declare() {
    const std::size_t nodes = router_.ring().num_nodes();
    switch (random_() % 4) {
      case 0:
        if (nodes < kMostShards) attach(), ++counts_["joins"];
        break;
      case 1:
        if (nodes > 4) router_.detach_node(any_shard()), ++counts_["leaves"];
        break;
      case 2:
        router_.set_weight(any_shard(), 0.25 + static_cast<double>(random_() % 8) / 4);
        ++counts_["re-weights"];
        break;
      default:
        // two at least, so that one shard may be missing at any time
        router_.set_replicas(2 + random_() % 2);
        ++counts_["changes of R"];
    }
  }

  // One resize of one or several changes, with shards failing in its midst.
  void churn() {
    const std::uint64_t changes = 1 + random_() % 3;
    for (std::uint64_t i = 0; i < changes; ++i) declare();
    if (random_() % 3 == 0) strike();
    rebalancer_ = std::make_unique<VectorRebalancer>(
        router_, RebalanceOptions{.max_bytes_per_second = 0, .page_records = 8, .chunk_arcs = 4});
    std::atomic<std::uint64_t> steps{0};
    const std::uint64_t abort_at = random_() % 4 == 0 ? random_() % 100 : std::numeric_limits<std::uint64_t>::max();
    const std::uint64_t strike_at = random_() % 2 == 0 ? random_() % 100 : std::numeric_limits<std::uint64_t>::max();
    const std::uint64_t heal_at = strike_at + random_() % 50;
    rebalancer_->set_progress([&](const MoveProgress& progress) {
      const std::uint64_t step = steps.fetch_add(1);
      if (step == strike_at) strike();
      if (step == heal_at) heal();
      if (step == abort_at && progress.stage == "copying") rebalancer_->abort();
    });
    const ResizeReport report = rebalancer_->execute();
    ++counts_[std::string(to_string(report.outcome))];
    if (report.lost != 0) fail("a resize lost " + std::to_string(report.lost) + " records: " + report.message);
    rebalancer_->set_progress({});
    finish_resize();
    if (random_() % 2 == 0) heal();
    if (random_() % 4 == 0) {
      heal();
      ++counts_["tombstone collections"];
      router_.collect_tombstones();
    }
    for (auto it = shards_.begin(); it != shards_.end();) {
      it = router_.ring().index_of(it->first) ? std::next(it) : shards_.erase(it);
    }
  }

  void finish_resize() {
    if (router_.control().stage() == ResizeStage::kNone) return;
    heal();
    const ResizeReport report = rebalancer_->execute();
    if (report.outcome == ResizeOutcome::kBlocked) fail("still blocked with all shards up: " + report.message);
    ++counts_["resumed"];
  }

  // One shard goes, in one of two ways: announced, or found out by who asks it.
  void strike() {
    if (!struck_.empty()) return;
    router_.control().drain();  // a search that met the one before would miss two
    const SnapshotPtr now = router_.control().pin();
    const auto& members = now->members();
    struck_ = members[random_() % members.size()].shard->id();
    if (random_() % 2 == 0) {
      shards_.at(struck_)->cut_off(true);
      ++counts_["shards cut off"];
    } else {
      router_.mark_down(struck_);
      ++counts_["shards taken down"];
    }
  }

  void heal() {
    for (auto& [id, shard] : shards_) shard->cut_off(false);
    router_.control().drain();  // writes that met a shard cut off have said so now
    for (const VectorRouter::ShardState& state : router_.shard_states()) {
      if (state.health == ShardHealth::kUp) continue;
      const SyncReport report = router_.bring_up(state.id);
      if (!report.up) fail("shard " + state.id + " does not come back: " + report.waits_for);
      ++counts_["shards brought back"];
    }
    struck_.clear();
  }

  Kind kind_;
  Oracle oracle_;
  VectorRouter router_;
  Random random_;
  std::unique_ptr<VectorRebalancer> rebalancer_;
  std::map<std::string, std::shared_ptr<SwitchableShard>> shards_;
  std::string struck_;  // at most one at a time: with two replicas, everything stays readable
  int next_shard_ = 0;
  std::map<std::string, std::uint64_t> counts_;

  std::atomic<bool> stopped_{false};
  std::atomic<std::uint64_t> writes_{0};
  std::atomic<std::uint64_t> refused_{0};
  std::atomic<std::uint64_t> gets_{0};
  std::atomic<std::uint64_t> searches_{0};
  std::atomic<std::uint64_t> wanted_{0};
  std::atomic<std::uint64_t> found_{0};
  std::mutex failure_mutex_;
  std::string failure_;
};

class ClusterStress : public ::testing::TestWithParam<Kind> {};

INSTANTIATE_TEST_SUITE_P(
    Kinds, ClusterStress,
    ::testing::Values(Kind{"Flat", "Flat", Metric::kL2, SearchCodes::kInt8, true, {}},
                      Kind{"FlatInnerProduct", "Flat", Metric::kInnerProduct, SearchCodes::kInt8, true, {}},
                      Kind{"IvfOnFloats", "IVF16,Flat", Metric::kL2, SearchCodes::kNone, true, {.nprobe = 16}},
                      Kind{"IvfOnCodes", "IVF16,Flat", Metric::kL2, SearchCodes::kInt8, false, {.nprobe = 16}},
                      Kind{"IvfInnerProduct", "IVF16,Flat", Metric::kInnerProduct, SearchCodes::kInt8, false, {.nprobe = 16}},
                      Kind{"IvfOfAGraph", "IVF16_HNSW8,Flat", Metric::kL2, SearchCodes::kInt8, false, {.nprobe = 16}},
                      Kind{"HnswOnFloats", "HNSW16", Metric::kL2, SearchCodes::kNone, false, {.ef = 100}},
                      Kind{"HnswOnCodes", "HNSW16", Metric::kL2, SearchCodes::kInt8, false, {.ef = 100}}),
    [](const auto& kind) { return std::string(kind.param.name); });

TEST_P(ClusterStress, NoAnswerIsWrongStaleDoubledOrIncompleteWhateverTheClusterDoes) {
  const std::uint64_t seed = from_environment("ANNULUS_STRESS_SEED", std::random_device{}());
  const std::chrono::seconds time(from_environment("ANNULUS_STRESS_SECONDS", 5));
  std::cout << "ANNULUS_STRESS_SEED=" << seed << '\n';
  Stress stress(GetParam(), seed);
  stress.run(time);
  ASSERT_EQ(stress.failure(), "");
  stress.check_the_end();
  EXPECT_EQ(stress.failure(), "");
  std::cout << stress.summary() << '\n';
  // of two owners or more, one was missing at most: nothing may be refused
  EXPECT_EQ(stress.refused(), 0u);
  // it was no idle run
  EXPECT_EQ(stress.missing(), "");
  EXPECT_GT(stress.writes(), 0u);
  EXPECT_GT(stress.gets(), 0u);
  EXPECT_GT(stress.searches(), 0u);
  if (!GetParam().exact) {
    std::cout << "recall " << stress.recall() << '\n';
    EXPECT_GE(stress.recall(), 0.95);
  }
}

}  // namespace
}  // namespace annulus::stress
