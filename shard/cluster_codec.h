// The codec that all shards of a router share: how it comes to be trained, and how shards come to have it.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "core/matrix.h"
#include "index/codec.h"
#include "index/index_spec.h"
#include "shard/cluster_control.h"

namespace annulus {

/// How far a cluster is on its way from flat to trained.
enum class TrainingStage : std::uint8_t {
  kNotNeeded,   ///< the index has no codec
  kFlat,        ///< shards search exactly; there are too few keys to train on
  kTraining,    ///< the codec is being trained, or shards convert; reads and writes go on
  kTrained,     ///< every shard has the codec
};

std::string_view to_string(TrainingStage stage) noexcept;

struct TrainingState {
  TrainingStage stage = TrainingStage::kNotNeeded;
  std::string error;  ///< why the last training failed; the next is tried when there are twice as many keys. Empty: it did not
};

/// Trains once, when it is told to or when there are keys enough; hands the codec to shards, new ones too.
/// Thread-safe. Training and conversion run in the caller's thread (`train`) or in one of its own (automatic start).
class ClusterCodec {
 public:
  /// `train_at`: keys at which training starts by itself; 0: never; none: what the index's training wants.
  ClusterCodec(const IndexSpec& spec, std::size_t replicas, std::optional<std::size_t> train_at, ClusterControl& control);
  ~ClusterCodec();
  ClusterCodec(const ClusterCodec&) = delete;
  ClusterCodec& operator=(const ClusterCodec&) = delete;

  /// Null until every shard that could be reached has it. One load.
  std::shared_ptr<const Codec> get() const { return std::atomic_load(&codec_); }

  /// Trains on `samples` (n x d, accepted) and converts all shards. Throws as Codec::train; Error(kFailedPrecondition) if there is
  /// a codec already.
  void train(const MatrixView& samples);

  /// Runs `attach`, which makes a shard known (again), while no training can pass the shard over. The shard gets the codec first.
  void adopt(Shard& shard, const std::function<void()>& attach);

  /// `rows` rows were written: starts the training if there are keys enough. O(1) but for now and then O(shards).
  void wrote(std::size_t rows);

  TrainingState state() const;

  /// Returns when no training is under way.
  void wait() const;

 private:
  void run();
  /// What becomes of a shard that cannot be reached: passed over, it is flat until it comes back and gets the codec then.
  enum class Unreachable { kFails, kPassedOver };
  void convert(Unreachable unreachable);
  Matrix sample() const;
  std::uint64_t keys() const;

  const IndexSpec spec_;
  const std::size_t replicas_;
  const bool needed_;
  std::size_t train_at_;
  ClusterControl& control_;

  std::mutex training_mutex_;  // held while a codec is trained and handed out
  std::shared_ptr<const Codec> trained_;  // guarded by training_mutex_; some shards may have it, and no other will do
  std::shared_ptr<const Codec> codec_;    // what all shards have; by std::atomic_load and std::atomic_store
  std::atomic<std::size_t> unchecked_{0};  // rows written since the keys were counted
  std::atomic<bool> stopping_{false};

  mutable std::mutex state_mutex_;  // guards all below
  mutable std::condition_variable ended_;
  bool under_way_ = false;
  std::size_t next_at_ = 0;  // keys at which the next training starts; 0: never
  std::string error_;
  std::thread thread_;
};

}  // namespace annulus
