// A shard whose power can be cut, and which now and then takes its time.
#pragma once

#include <atomic>
#include <memory>
#include <thread>

#include "core/error.h"
#include "shard/shard.h"

namespace annulus::stress {

/// Passes every call on, unless it is cut off: then every call throws, as a shard does whose process is gone. Some writes and
/// searches dawdle first, so that what must wait for them is seen to.
class SwitchableShard final : public Shard {
 public:
  explicit SwitchableShard(std::shared_ptr<Shard> inner) : inner_(std::move(inner)) {}

  void cut_off(bool cut) { cut_.store(cut); }

  const std::string& id() const noexcept override { return inner_->id(); }
  const IndexSpec& spec() const noexcept override { return inner_->spec(); }
  KeyKind key_kind() const noexcept override { return inner_->key_kind(); }
  void attach_codec(std::shared_ptr<const Codec> codec) override { reached().attach_codec(std::move(codec)); }
  void upsert_if_newer(std::span<const RecordView> records, WriteMode mode, std::span<WriteOutcome> outcomes) override {
    dawdle();
    reached().upsert_if_newer(records, mode, outcomes);
  }
  HeldRecord get(KeyView key, std::span<float> vector) const override {
    dawdle();
    return reached().get(key, vector);
  }
  void lookup(std::span<const KeyView> keys, std::span<HeldRecord> held) const override { reached().lookup(keys, held); }
  bool scan(std::span<const Arc> arcs, ScanPosition& position, std::size_t most, ScanContents contents,
            RecordPage& page) const override {
    return reached().scan(arcs, position, most, contents, page);
  }
  std::vector<ArcDigest> digest(std::span<const Arc> arcs) const override { return reached().digest(arcs); }
  std::uint64_t drop(std::span<const Arc> arcs) override { return reached().drop(arcs); }
  std::uint64_t collect_tombstones(const Version& newest) override { return reached().collect_tombstones(newest); }
  void set_primary_arcs(const ArcSet& arcs) override { reached().set_primary_arcs(arcs); }
  ShardStats stats() const override { return inner_->stats(); }
  using Shard::candidates;
  void candidates(const CandidateRequest& request, CandidateLists& out) const override {
    dawdle();
    reached().candidates(request, out);
  }
  bool candidates_are_exact() const override { return inner_->candidates_are_exact(); }
  void refine(const MatrixView& queries, std::span<const RefineItem> items, std::span<float> distances) const override {
    reached().refine(queries, items, distances);
  }
  std::uint64_t code_fingerprint() const override { return inner_->code_fingerprint(); }
  bool lossless() const override { return inner_->lossless(); }

 private:
  Shard& reached() const {
    if (cut_.load()) throw Error(ErrorCode::kUnavailable, "shard '" + id() + "' is cut off");
    return *inner_;
  }
  // One call in 64 gives the processor away for a while: no test of time, only of order.
  void dawdle() const {
    if (calls_.fetch_add(1, std::memory_order_relaxed) % 64 != 0) return;
    for (int i = 0; i < 200; ++i) std::this_thread::yield();
  }

  const std::shared_ptr<Shard> inner_;
  std::atomic<bool> cut_{false};
  mutable std::atomic<std::uint64_t> calls_{0};
};

}  // namespace annulus::stress
