#include "cli/demo_command.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "cli/demo_artifacts.h"
#include "cli/demo_cache.h"
#include "cli/demo_data.h"
#include "cli/demo_figures.h"
#include "cli/demo_load.h"
#include "cli/demo_oracle.h"
#include "cli/demo_story.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "core/error.h"
#include "rebalance/vector_rebalancer.h"
#include "shard/vector_router.h"
#include "shard/vector_shard.h"

namespace annulus::cli {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kQueries = 500;
constexpr std::size_t kRowsAtOnce = 500;
constexpr std::size_t kShownNeighbors = 6;
constexpr std::array kShownWords = {"king", "paris", "coffee", "music", "doctor", "winter"};
constexpr std::size_t kWritesWhileDown = 200;
// Long enough for a percentile of the quiet cluster to compare with.
constexpr std::chrono::milliseconds kQuietTime{400};

struct DemoFlags {
  std::size_t shards = 4;
  std::size_t replicas = 2;
  std::string index = "HNSW16";
  std::string data;
  bool json = false;
};

double seconds_since(Clock::time_point started) { return std::chrono::duration<double>(Clock::now() - started).count(); }

std::string shard_name(std::size_t number) { return "shard-" + std::to_string(number); }

IndexSpec spec_for(const DemoFlags& flags, std::size_t dimension) {
  IndexSpec spec;
  spec.dimension = dimension;
  spec.metric = Metric::kCosine;
  spec.factory = flags.index;
  return spec;
}

RouterOptions router_options(const DemoFlags& flags, std::size_t dimension) {
  RouterOptions options;
  options.index = spec_for(flags, dimension);
  options.replicas = flags.replicas;
  return options;
}

/// The demo from its first to its last section.
class Demo {
 public:
  Demo(const DemoFlags& flags, const WordVectors& data, DemoStory& story)
      : flags_(flags),
        story_(story),
        data_(data),
        router_(router_options(flags, static_cast<std::size_t>(data_.vectors.cols()))),
        oracle_(static_cast<std::size_t>(data_.vectors.cols())),
        writer_(router_, data_, oracle_),
        cache_(data_),
        artifacts_(data_, flags.replicas) {
    figures_.index = flags.index;
    figures_.shards = flags.shards;
    figures_.replicas = flags.replicas;
    figures_.dimension = router_.options().index.dimension;
    figures_.keys = data_.words.size();
  }

  DemoFigures run() {
    const Clock::time_point started = Clock::now();
    story_.title(figures_);
    found();
    fill();
    search();
    const std::string joins = shard_name(flags_.shards + 1);
    const std::string leaves = shard_name(2);
    resize(joins + " joins", [&](auto& payload) { attach(payload, joins); });
    resize(leaves + " leaves", [&](auto& payload) { detach(payload, leaves); });
    shard_down(shard_name(1));
    figures_.seconds = seconds_since(started);
    story_.summary(figures_);
    return std::move(figures_);
  }

 private:
  static void attach(VectorRouter& router, const std::string& id) {
    router.attach_node(std::make_shared<VectorShard>(id, router.options().index));
  }
  static void detach(VectorRouter& router, const std::string& id) { router.detach_node(id); }
  static void attach(auto& payload, const std::string& id) { payload.attach(id); }
  static void detach(auto& payload, const std::string& id) { payload.detach(id); }

  void found() {
    for (std::size_t i = 1; i <= flags_.shards; ++i) {
      attach(router_, shard_name(i));
      attach(cache_, shard_name(i));
      attach(artifacts_, shard_name(i));
    }
    if (needs_training(router_.options().index)) router_.train(data_.vectors);
    story_.ring(ring_stats(router_.ring(), flags_.replicas), router_.options().ring);
  }

  void fill() {
    const std::vector<KeyView> keys(data_.words.begin(), data_.words.end());
    {
      ProgressBar bar("loading", keys.size(), "words");
      const Clock::time_point started = Clock::now();
      for (std::size_t begin = 0; begin < keys.size(); begin += kRowsAtOnce) {
        const std::size_t count = std::min(kRowsAtOnce, keys.size() - begin);
        const auto rows = data_.vectors.middleRows(static_cast<Eigen::Index>(begin), static_cast<Eigen::Index>(count));
        const WriteReport report = router_.upsert(std::span(keys).subspan(begin, count), rows);
        if (!report.ok()) throw Error(ErrorCode::kUnavailable, fmt::format("{} words found no shard", report.failed_rows.size()));
        bar.update(begin + count);
      }
      figures_.fill_seconds = seconds_since(started);
    }
    for (std::size_t i = 0; i < data_.words.size(); ++i)
      oracle_.put(data_.words[i], data_.vectors.row(static_cast<Eigen::Index>(i)));
    cache_.fill();
    artifacts_.fill();
    figures_.artifacts = artifacts_.count();
    figures_.artifact_bytes = artifacts_.bytes();
    story_.fill(figures_);
  }

  void search() {
    // Spread over frequent and rare words, and none of the writer's.
    const std::size_t step = std::max<std::size_t>(1, data_.words.size() / kQueries / kWriterTakesEvery) * kWriterTakesEvery;
    for (std::size_t i = 0; i < data_.words.size() && queries_.size() < kQueries; i += step) queries_.push_back(data_.words[i]);
    figures_.queries = queries_.size();
    figures_.probe = oracle_.probe(router_, queries_);
    std::vector<Neighborhood> shown;
    for (const char* word : kShownWords) {
      if (oracle_.holds(word)) shown.push_back(neighborhood(word));
    }
    if (shown.empty()) shown.push_back(neighborhood(data_.words.front()));
    story_.search(shown, figures_);
  }

  Neighborhood neighborhood(const std::string& word) const {
    Neighborhood found{word, {}};
    const SearchResult result = router_.search(*oracle_.at(word), kShownNeighbors + 1);
    for (const Neighbor& neighbor : result[0]) {
      if (neighbor.key != word && found.nearest.size() < kShownNeighbors) found.nearest.push_back(neighbor);
    }
    return found;
  }

  /// `declare(payload)` attaches or detaches a node of the router, the cache or the artifacts.
  void resize(const std::string& change, const auto& declare) {
    ResizeFigures figures;
    figures.change = change;
    declare(router_);
    VectorRebalancer rebalancer(router_);
    const RebalancePlan plan = rebalancer.plan();
    const double bytes_per_key = static_cast<double>(figures_.dimension * sizeof(float));
    figures.plan = RebalancePlanner::stats(plan, oracle_.live(), bytes_per_key);
    story_.plan(change, plan, figures.plan, oracle_.live());

    LiveLoad load(router_, writer_, data_, queries_);
    std::this_thread::sleep_for(kQuietTime);
    load.enter(LiveLoad::Phase::kDuring);
    figures.report = execute(rebalancer, plan);
    load.enter(LiveLoad::Phase::kAfter);
    load.stop();
    figures.before = load.searches(LiveLoad::Phase::kBefore);
    figures.during = load.searches(LiveLoad::Phase::kDuring);
    figures.writes = load.writes(LiveLoad::Phase::kDuring);

    figures.proof = prove();
    figures.cache = cache_.change([&] { declare(cache_); });
    figures.artifacts = artifacts_.change([&] { declare(artifacts_); });
    story_.resize(figures, figures_.probe.recall);
    figures_.resizes.push_back(std::move(figures));
  }

  /// With a bar for each stage.
  static ResizeReport execute(VectorRebalancer& rebalancer, const RebalancePlan& plan) {
    std::optional<ProgressBar> bar;
    std::string shown;
    rebalancer.set_progress([&](const MoveProgress& progress) {
      if (shown != progress.stage) {
        shown = progress.stage;
        bar.reset();  // erases its line before the next one draws there
        bar.emplace(shown, progress.total, "records");
      }
      bar->update(progress.done, progress.total);
    });
    ResizeReport report = rebalancer.execute(plan, plan.before);
    rebalancer.set_progress({});
    return report;
  }

  Proof prove() const { return {verify_cluster(router_), oracle_.compare(router_), oracle_.probe(router_, queries_)}; }

  void shard_down(const std::string& id) {
    ShardDownFigures& down = figures_.shard_down;
    down.shard = id;
    const RecallProbe before = oracle_.probe(router_, queries_);
    router_.mark_down(id);
    down.probe = oracle_.probe(router_, queries_);
    for (std::size_t i = 0; i < queries_.size(); ++i) down.equal_answers += before.answers[i] == down.probe.answers[i] ? 1 : 0;
    // With one replica, what the shard owns can be neither written nor read.
    if (flags_.replicas > 1) {
      const WriteFigures so_far = writer_.figures();
      for (std::size_t i = 0; i < kWritesWhileDown; ++i) writer_.step();
      down.writes = writer_.figures() - so_far;
      down.oracle = oracle_.compare(router_);
    }
    const Clock::time_point started = Clock::now();
    down.sync = router_.bring_up(id);
    down.sync_seconds = seconds_since(started);
    down.proof = prove();
    down.heal = artifacts_.damage_and_read();
    story_.shard_down(figures_);
  }

  const DemoFlags& flags_;
  DemoStory& story_;
  const WordVectors& data_;
  VectorRouter router_;
  Oracle oracle_;
  DemoWriter writer_;
  DemoCache cache_;
  DemoArtifacts artifacts_;
  std::vector<std::string> queries_;
  DemoFigures figures_;
};

void require_exact_vectors(const IndexSpec& spec) {
  std::string problem = "its codes only approximate vectors, which the demo compares number by number";
  try {
    if (parse_spec(spec).coding == Coding::kFloat) return;
  } catch (const Error& error) {
    problem = error.what();
  }
  throw CLI::ValidationError(fmt::format("--index {}: {}; take Flat, HNSW<M> or IVF<n>,Flat", spec.factory, problem));
}

void run_demo(const DemoFlags& flags) {
  if (flags.replicas > flags.shards) {
    throw CLI::ValidationError(
        fmt::format("--replicas {} on --shards {}: each copy needs a shard of its own", flags.replicas, flags.shards));
  }
  const WordVectors data = load_words(find_demo_data(flags.data));
  require_exact_vectors(spec_for(flags, static_cast<std::size_t>(data.vectors.cols())));
  DemoStory story(flags.json ? DemoStory::Voice::kMute : DemoStory::Voice::kTells, TerminalStyle::of_stdout());
  const DemoFigures figures = Demo(flags, data, story).run();
  if (flags.json) print_json(to_json(figures));
  const std::vector<std::string> wrong = problems(figures);
  if (!wrong.empty()) {
    throw Error(ErrorCode::kDataLoss, fmt::format("the demo found {} problems, the first: {}", wrong.size(), wrong.front()));
  }
}

}  // namespace

void add_demo_command(CLI::App& app) {
  const auto flags = std::make_shared<DemoFlags>();
  CLI::App& demo = *app.add_subcommand("demo", "Fill a cluster with real data, search it, resize it under load, verify, report");
  demo.add_option("--shards", flags->shards, "Shards to begin with")->check(CLI::Range(2, 64))->capture_default_str();
  demo.add_option("--replicas", flags->replicas, "Copies of each key")->check(CLI::Range(1, 8))->capture_default_str();
  demo.add_option("--index", flags->index, "FAISS factory string of every shard: Flat, HNSW<M> or IVF<n>,Flat")
      ->capture_default_str();
  demo.add_option("--data", flags->data, "Folder with words.fbin and words.txt (default: the source tree's data/)");
  demo.add_flag("--json", flags->json, "Print one JSON document");
  demo.callback([flags] { run_demo(*flags); });
}

}  // namespace annulus::cli
