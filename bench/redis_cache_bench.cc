#include "bench/redis_cache_bench.h"

#ifdef ANNULUS_WITH_REDIS
#include <algorithm>
#include <chrono>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "bench/redis_server.h"
#include "cache/redis_cache_node.h"
#include "core/error.h"
#endif

namespace annulus::bench {
namespace {

Json note(const std::string& text) { return Json::array({Json{{"method", "redis"}, {"note", text}}}); }

}  // namespace

#ifndef ANNULUS_WITH_REDIS

Json redis_cache_rows(const RedisCacheBenchOptions&) { return note("not measured: built without hiredis"); }

#else

namespace {

/// A way to put or get all keys once.
struct Method {
  std::string name;
  std::string baseline;  ///< name of the method that it is compared with
  std::function<void()> run;
  std::vector<double> per_second = {};
};

class RedisCacheBench {
 public:
  explicit RedisCacheBench(const RedisCacheBenchOptions& options) : options_(options) {
    if (options.keys == 0 || options.batch == 0 || options.repetitions == 0) {
      throw Error(ErrorCode::kInvalidArgument, "keys, batch and repetitions of a Redis benchmark must be at least 1");
    }
    RedisCacheOptions node_options;
    node_options.port = server_.port();
    node_.emplace("bench", node_options);
    for (std::size_t i = 0; i < options.keys; ++i) names_.push_back("response:" + std::to_string(i));
    keys_.assign(names_.begin(), names_.end());
    value_.assign(options.value_bytes, 'v');
  }

  Json run() {
    std::vector<Method> methods{{"redis_put", "", [this] { put_one_by_one(); }},
                                {"redis_put_batch", "redis_put", [this] { put_batches(); }},
                                {"redis_get", "", [this] { get_one_by_one(); }},
                                {"redis_get_batch", "redis_get", [this] { get_batches(); }}};
    for (const Method& method : methods) method.run();  // connections, pages, the sweep
    for (std::size_t i = 0; i < options_.repetitions; ++i) {
      for (Method& method : methods) {
        const auto start = std::chrono::steady_clock::now();
        method.run();
        const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
        method.per_second.push_back(static_cast<double>(keys_.size()) / seconds.count());
      }
    }
    return rows(methods);
  }

 private:
  CacheWrite write_of(std::size_t i) const { return {.key = keys_[i], .value = value_, .version = {clock_, 0}}; }

  void put_one_by_one() {
    ++clock_;
    for (std::size_t i = 0; i < keys_.size(); ++i) check(node_->write(write_of(i)) == CacheOutcome::kStored);
  }

  void put_batches() {
    ++clock_;
    for (std::size_t begin = 0; begin < keys_.size(); begin += options_.batch) {
      writes_.clear();
      for (std::size_t i = begin; i < std::min(begin + options_.batch, keys_.size()); ++i) writes_.push_back(write_of(i));
      node_->write(writes_, outcomes_);
      check(std::ranges::count(outcomes_, CacheOutcome::kStored) == std::ssize(writes_));
    }
  }

  void get_one_by_one() {
    for (const KeyView key : keys_) check_entry(node_->get(key));
  }

  void get_batches() {
    for (std::size_t begin = 0; begin < keys_.size(); begin += options_.batch) {
      node_->get(std::span(keys_).subspan(begin, std::min(options_.batch, keys_.size() - begin)), entries_);
      for (const std::optional<CacheEntry>& entry : entries_) check_entry(entry);
    }
  }

  void check_entry(const std::optional<CacheEntry>& entry) const { check(entry && entry->value == value_); }

  static void check(bool right) {
    if (!right) throw Error(ErrorCode::kInternal, "Redis does not hold what the benchmark put; is it short of memory?");
  }

  Json rows(const std::vector<Method>& methods) const {
    const auto median = [](std::vector<double> samples) {
      std::ranges::sort(samples);
      return samples[samples.size() / 2];
    };
    Json rows = Json::array();
    for (const Method& method : methods) {
      const auto [least, greatest] = std::ranges::minmax(method.per_second);
      Json row{{"method", method.name},
               {"threads", 1},
               {"value_bytes", options_.value_bytes},
               {"per_second", median(method.per_second)},
               {"per_second_range", {least, greatest}}};
      if (!method.baseline.empty()) {
        const auto baseline = std::ranges::find(methods, method.baseline, &Method::name);
        row["batch"] = options_.batch;
        row["ratio_to_one_by_one"] = median(method.per_second) / median(baseline->per_second);
      }
      rows.push_back(std::move(row));
    }
    return rows;
  }

  const RedisCacheBenchOptions options_;
  RedisServer server_;
  std::optional<RedisCacheNode> node_;
  std::vector<std::string> names_;
  std::vector<KeyView> keys_;
  std::string value_;
  std::uint64_t clock_ = 0;
  std::vector<CacheWrite> writes_;
  std::vector<CacheOutcome> outcomes_;
  std::vector<std::optional<CacheEntry> > entries_;
};

}  // namespace

Json redis_cache_rows(const RedisCacheBenchOptions& options) {
  if (!RedisServer::installed()) return note("not measured: no redis-server is installed; scripts/setup.sh installs it");
  return RedisCacheBench(options).run();
}

#endif

}  // namespace annulus::bench
