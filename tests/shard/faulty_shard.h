// A shard that fails, stalls or answers inexactly when it is told to.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"
#include "shard/shard.h"

namespace annulus::testing {

/// The calls of a shard that can go wrong.
enum class Call : std::uint8_t { kAttachCodec, kUpsert, kGet, kLookup, kScan, kDigest, kDrop, kCollect, kSetPrimaryArcs, kStats, kCandidates, kRefine };

/// What goes wrong, and when.
struct Fault {
  std::vector<Call> calls = {};  ///< which calls count, and fail; empty: all of them
  std::uint64_t after = 0;       ///< so many of them still succeed
  std::uint64_t times = std::numeric_limits<std::uint64_t>::max();  ///< then so many fail; the ones behind succeed again
  bool once_done = false;        ///< the call does its work and throws then, as when an answer is lost on its way
  ErrorCode code = ErrorCode::kUnavailable;
};

/// Passes calls on to another shard, and fails, blocks or distorts those that it was told to. Thread-safe.
class FaultyShard final : public Shard {
 public:
  explicit FaultyShard(std::shared_ptr<Shard> inner) : inner_(std::move(inner)) {}

  Shard& inner() noexcept { return *inner_; }

  void set_fault(Fault fault) {
    std::lock_guard lock(mutex_);
    fault_ = std::move(fault);
    matched_ = 0;
    failed_ = 0;
  }
  /// Every call fails from now on, or only `calls`.
  void fail(std::vector<Call> calls = {}) { set_fault({.calls = std::move(calls)}); }
  void heal() {
    std::lock_guard lock(mutex_);
    fault_.reset();
  }
  /// How often the fault struck since it was set.
  std::uint64_t failed() const {
    std::lock_guard lock(mutex_);
    return failed_;
  }
  /// How often `call` was made, in all.
  std::uint64_t count(Call call) const {
    std::lock_guard lock(mutex_);
    const auto it = counts_.find(call);
    return it == counts_.end() ? 0 : it->second;
  }

  /// Candidates that were refined, in all.
  std::uint64_t refined() const noexcept { return refined_.load(); }

  /// Holds up each `call` before it does anything, until release().
  void block(Call call) {
    std::lock_guard lock(mutex_);
    blocked_ = call;
  }
  /// Returns when a call is being held up.
  void wait_until_blocked() const {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return waiting_ > 0; });
  }
  void release() {
    std::lock_guard lock(mutex_);
    blocked_.reset();
    changed_.notify_all();
  }

  /// Calls `action` before each `call` does anything; null: no more. The action may write through a router to this shard.
  void on_each(Call call, std::function<void()> action) {
    std::lock_guard lock(mutex_);
    if (action) {
      actions_[call] = std::make_shared<std::function<void()>>(std::move(action));
    } else {
      actions_.erase(call);
    }
  }

  /// From now on candidates carry distances that are off by up to `error` times themselves, in their order.
  void distort(float error) { error_.store(error); }

  const std::string& id() const noexcept override { return inner_->id(); }
  const IndexSpec& spec() const noexcept override { return inner_->spec(); }
  KeyKind key_kind() const noexcept override { return inner_->key_kind(); }
  void attach_codec(std::shared_ptr<const Codec> codec) override {
    run(Call::kAttachCodec, [&] { inner_->attach_codec(std::move(codec)); });
  }
  void upsert_if_newer(std::span<const RecordView> records, WriteMode mode, std::span<WriteOutcome> outcomes) override {
    run(Call::kUpsert, [&] { inner_->upsert_if_newer(records, mode, outcomes); });
  }
  HeldRecord get(KeyView key, std::span<float> vector) const override {
    return run(Call::kGet, [&] { return inner_->get(key, vector); });
  }
  void lookup(std::span<const KeyView> keys, std::span<HeldRecord> held) const override {
    run(Call::kLookup, [&] { inner_->lookup(keys, held); });
  }
  bool scan(std::span<const Arc> arcs, ScanPosition& position, std::size_t most, ScanContents contents,
            RecordPage& page) const override {
    return run(Call::kScan, [&] { return inner_->scan(arcs, position, most, contents, page); });
  }
  std::vector<ArcDigest> digest(std::span<const Arc> arcs) const override {
    return run(Call::kDigest, [&] { return inner_->digest(arcs); });
  }
  std::uint64_t drop(std::span<const Arc> arcs) override {
    return run(Call::kDrop, [&] { return inner_->drop(arcs); });
  }
  std::uint64_t collect_tombstones(const Version& newest) override {
    return run(Call::kCollect, [&] { return inner_->collect_tombstones(newest); });
  }
  void set_primary_arcs(const ArcSet& arcs) override {
    run(Call::kSetPrimaryArcs, [&] { inner_->set_primary_arcs(arcs); });
  }
  ShardStats stats() const override {
    return run(Call::kStats, [&] { return inner_->stats(); });
  }
  using Shard::candidates;
  void candidates(const CandidateRequest& request, CandidateLists& out) const override {
    run(Call::kCandidates, [&] {
      if (error_.load() == 0) {
        inner_->candidates(request, out);
      } else {
        distorted_candidates(request, out);
      }
    });
  }
  bool candidates_are_exact() const override { return error_.load() == 0 && inner_->candidates_are_exact(); }
  void refine(const MatrixView& queries, std::span<const RefineItem> items, std::span<float> distances) const override {
    run(Call::kRefine, [&] {
      refined_.fetch_add(items.size());
      inner_->refine(queries, items, distances);
    });
  }
  std::uint64_t code_fingerprint() const override { return inner_->code_fingerprint(); }
  bool lossless() const override { return inner_->lossless(); }

 private:
  // A lossy code's distances: all too great, by a factor that keeps their order within a list.
  void distorted_candidates(const CandidateRequest& request, CandidateLists& out) const {
    CandidateLists exact;
    inner_->candidates(request, exact);
    out.reset(exact.queries());
    for (std::size_t query = 0; query < exact.queries(); ++query) {
      out.begin_query();
      for (const CandidateLists::Entry& entry : exact.of(query)) {
        out.append(exact.key(entry), entry.version, entry.distance * (1 + error_.load()), entry.handle);
      }
    }
    out.distances = exact.distances;
  }

  template <typename Work>
  auto run(Call call, Work&& work) const -> decltype(work()) {
    std::optional<Fault> strikes;
    if (const auto action = action_before(call)) (*action)();
    {
      std::unique_lock lock(mutex_);
      ++counts_[call];
      if (blocked_ == call) {
        ++waiting_;
        changed_.notify_all();
        changed_.wait(lock, [&] { return blocked_ != call; });
        --waiting_;
      }
      strikes = struck(call);
    }
    if (!strikes) return work();
    if (strikes->once_done) (void)work();
    throw Error(strikes->code, "shard '" + id() + "' was told to fail");
  }

  std::shared_ptr<std::function<void()>> action_before(Call call) const {
    std::lock_guard lock(mutex_);
    const auto it = actions_.find(call);
    return it == actions_.end() ? nullptr : it->second;
  }

  std::optional<Fault> struck(Call call) const {
    if (!fault_) return std::nullopt;
    bool counts = fault_->calls.empty();
    for (const Call failing : fault_->calls) counts |= failing == call;
    if (!counts || matched_++ < fault_->after || failed_ >= fault_->times) return std::nullopt;
    ++failed_;
    return fault_;
  }

  const std::shared_ptr<Shard> inner_;
  std::atomic<float> error_{0};
  mutable std::atomic<std::uint64_t> refined_{0};
  mutable std::mutex mutex_;  // guards all below
  mutable std::condition_variable changed_;
  std::optional<Fault> fault_;
  mutable std::uint64_t matched_ = 0;
  mutable std::uint64_t failed_ = 0;
  mutable std::map<Call, std::uint64_t> counts_;
  std::map<Call, std::shared_ptr<std::function<void()>>> actions_;
  std::optional<Call> blocked_;
  mutable std::size_t waiting_ = 0;
};

}  // namespace annulus::testing
