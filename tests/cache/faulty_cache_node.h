// A cache node that fails when it is told to, in front of a real one.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "cache/in_memory_cache_node.h"
#include "core/error.h"

namespace annulus::testing {

/// The calls of a node that can go wrong; but kGeneration cannot, and is not counted.
enum class NodeCall : std::uint8_t { kGet, kWrite, kForget, kScan, kInvalidate, kGeneration };

/// One call among those to all nodes that share this fails: the `at`-th (from 1; 0: none).
struct FaultPlan {
  enum class When : std::uint8_t {
    kBefore,   ///< it took no effect
    kHalfway,  ///< of a batch, the first half did; of other calls as kAfter
    kAfter,    ///< it did, and the answer was lost
  };
  std::uint64_t at = 0;
  When when = When::kBefore;
  bool stays_down = false;  ///< the node that failed stays out of reach until it is healed
  std::atomic<std::uint64_t> calls{0};

  bool fired() const noexcept { return at != 0 && calls.load() >= at; }
};

/// Passes calls on, unless it is down or its plan says otherwise. Thread-safe.
class FaultyCacheNode final : public CacheNode {
 public:
  explicit FaultyCacheNode(std::shared_ptr<InMemoryCacheNode> inner, std::shared_ptr<FaultPlan> plan = nullptr)
      : inner_(std::move(inner)), plan_(std::move(plan)) {}

  InMemoryCacheNode& inner() noexcept { return *inner_; }
  void set_down(bool down) { down_.store(down); }
  void set_remote(bool remote) { remote_.store(remote); }
  /// From now on one call in `every` fails, by turns before and after it took effect, and others dawdle; 0: no more.
  void set_flaky(std::uint64_t every) { flaky_.store(every); }
  std::uint64_t count(NodeCall call) const {
    std::lock_guard lock(mutex_);
    const auto at = counts_.find(call);
    return at == counts_.end() ? 0 : at->second;
  }
  /// Called before, or after, each such call does its work; null: no more. May call the cache whose member this is, but not
  /// change its membership.
  void before(NodeCall call, std::function<void()> action) { set_action(before_, call, std::move(action)); }
  void after(NodeCall call, std::function<void()> action) { set_action(after_, call, std::move(action)); }

  const std::string& id() const noexcept override { return inner_->id(); }
  std::optional<CacheEntry> get(KeyView key) override {
    return run(NodeCall::kGet, [&](bool) { return inner_->get(key); });
  }
  void get(std::span<const KeyView> keys, std::vector<std::optional<CacheEntry>>& entries) override {
    run(NodeCall::kGet, [&](bool) { inner_->get(keys, entries); });
  }
  CacheOutcome write(const CacheWrite& write, std::optional<std::uint64_t> only_in) override {
    return run(NodeCall::kWrite, [&](bool) { return inner_->write(write, only_in); });
  }
  void write(std::span<const CacheWrite> writes, std::vector<CacheOutcome>& outcomes,
             std::optional<std::uint64_t> only_in) override {
    run(NodeCall::kWrite, [&](bool half) { inner_->write(half ? writes.first(writes.size() / 2) : writes, outcomes, only_in); });
  }
  std::uint64_t forget(std::span<const KeyView> keys) override {
    return run(NodeCall::kForget, [&](bool half) { return inner_->forget(half ? keys.first(keys.size() / 2) : keys); });
  }
  void scan(CacheCursor& cursor, std::size_t limit, std::vector<std::string>& page) override {
    run(NodeCall::kScan, [&](bool) { inner_->scan(cursor, limit, page); });
  }
  std::uint64_t generation() const noexcept override {
    const std::uint64_t generation = inner_->generation();
    act(after_, NodeCall::kGeneration);
    return generation;
  }
  void invalidate() override {
    run(NodeCall::kInvalidate, [&](bool) { inner_->invalidate(); });
  }
  CacheNodeStats stats() const override { return inner_->stats(); }
  bool remote() const noexcept override { return remote_.load(); }

 private:
  using Actions = std::map<NodeCall, std::shared_ptr<std::function<void()>>>;

  template <typename Work>
  auto run(NodeCall call, Work&& work) -> decltype(work(false)) {
    using When = FaultPlan::When;
    act(before_, call);
    std::optional<When> strikes;
    const std::uint64_t every = flaky_.load();
    const std::uint64_t turn = every == 0 ? 0 : ++turns_;
    for (std::uint64_t i = 0; i < turn % 8; ++i) std::this_thread::yield();
    if (down_.load()) {
      strikes = When::kBefore;
    } else if (turn != 0 && turn % every == 0) {
      strikes = turn / every % 2 == 0 ? When::kBefore : When::kHalfway;
    } else if (plan_ != nullptr && ++plan_->calls == plan_->at) {
      strikes = plan_->when;
      if (plan_->stays_down) down_.store(true);
    }
    {
      std::lock_guard lock(mutex_);
      ++counts_[call];
    }
    if (strikes) {
      if (*strikes != When::kBefore) (void)work(*strikes == When::kHalfway);
      throw Error(ErrorCode::kUnavailable, "cache node '" + id() + "' was told to fail");
    }
    if constexpr (std::is_void_v<decltype(work(false))>) {
      work(false);
      act(after_, call);
    } else {
      auto result = work(false);
      act(after_, call);
      return result;
    }
  }

  void set_action(Actions& actions, NodeCall call, std::function<void()> action) {
    std::lock_guard lock(mutex_);
    actions[call] = action ? std::make_shared<std::function<void()>>(std::move(action)) : nullptr;
  }
  void act(const Actions& actions, NodeCall call) const {
    std::shared_ptr<std::function<void()>> action;
    {
      std::lock_guard lock(mutex_);
      const auto at = actions.find(call);
      if (at != actions.end()) action = at->second;
    }
    if (action != nullptr) (*action)();
  }

  const std::shared_ptr<InMemoryCacheNode> inner_;
  const std::shared_ptr<FaultPlan> plan_;
  std::atomic<bool> down_{false};
  std::atomic<bool> remote_{false};
  std::atomic<std::uint64_t> flaky_{0};
  std::atomic<std::uint64_t> turns_{0};
  mutable std::mutex mutex_;  // guards all below
  std::map<NodeCall, std::uint64_t> counts_;
  Actions before_;
  Actions after_;
};

}  // namespace annulus::testing
