#include "shard/cluster_codec.h"

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/thread_budget.h"

namespace annulus {
namespace {

// Samples a list, or a codebook entry, that k-means makes good use of: more cost time and change little.
constexpr std::size_t kSamplesPerList = 64;
constexpr std::size_t kSamplesPerCodebook = std::size_t{40} * 256;
constexpr std::size_t kFewestSamples = 1024;
constexpr std::size_t kMostSamplesPerList = 256;
constexpr std::size_t kPage = 1024;
// The keys are counted so many times on the way to the training.
constexpr std::size_t kChecks = 64;

std::size_t wanted_keys(const IndexSpec& spec) {
  const ParsedSpec parsed = parse_spec(spec);
  std::size_t wanted = std::max(kFewestSamples, min_training_samples(spec));
  if (parsed.family == IndexFamily::kIvf) wanted = std::max(wanted, kSamplesPerList * parsed.nlist);
  if (parsed.coding == Coding::kPq) wanted = std::max(wanted, kSamplesPerCodebook);
  return wanted;
}

}  // namespace

std::string_view to_string(TrainingStage stage) noexcept {
  switch (stage) {
    case TrainingStage::kNotNeeded: return "not needed";
    case TrainingStage::kFlat: return "flat";
    case TrainingStage::kTraining: return "training";
    case TrainingStage::kTrained: return "trained";
  }
  return "unknown";
}

ClusterCodec::ClusterCodec(const IndexSpec& spec, std::size_t replicas, std::optional<std::size_t> train_at,
                           ClusterControl& control)
    : spec_(spec),
      replicas_(replicas),
      needed_(needs_training(spec)),
      train_at_(needed_ ? train_at.value_or(wanted_keys(spec)) : 0),
      control_(control),
      next_at_(train_at_ == 0 ? 0 : std::max(train_at_, min_training_samples(spec))) {}

ClusterCodec::~ClusterCodec() {
  stopping_ = true;
  if (thread_.joinable()) thread_.join();
}

void ClusterCodec::train(const MatrixView& samples) {
  std::lock_guard training(training_mutex_);
  if (get() != nullptr) throw Error(ErrorCode::kFailedPrecondition, "this router has a codec already; it is trained once");
  if (trained_ == nullptr) trained_ = Codec::train(spec_, samples);
  convert(Unreachable::kFails);
}

void ClusterCodec::convert(Unreachable unreachable) {
  for (const auto& shard : control_.shards()) {
    try {
      shard->attach_codec(trained_);
    } catch (const Error& e) {
      if (unreachable == Unreachable::kFails || e.code() != ErrorCode::kUnavailable) throw;
    }
  }
  std::atomic_store(&codec_, trained_);
}

void ClusterCodec::adopt(Shard& shard, const std::function<void()>& attach) {
  std::lock_guard training(training_mutex_);
  if (trained_ != nullptr) shard.attach_codec(trained_);
  attach();
}

std::uint64_t ClusterCodec::keys() const {
  std::uint64_t rows = 0;
  for (const auto& shard : control_.shards()) rows += shard->stats().live;
  return rows / std::max<std::size_t>(1, replicas_);
}

void ClusterCodec::wrote(std::size_t rows) {
  if (train_at_ == 0 || get() != nullptr) return;
  const std::size_t step = std::max<std::size_t>(1, train_at_ / kChecks);
  if (unchecked_.fetch_add(rows, std::memory_order_relaxed) + rows < step) return;
  unchecked_.store(0, std::memory_order_relaxed);
  const std::uint64_t count = keys();
  std::lock_guard lock(state_mutex_);
  if (under_way_ || count < next_at_ || get() != nullptr) return;
  if (thread_.joinable()) thread_.join();  // of a training that failed
  under_way_ = true;
  error_.clear();
  next_at_ = 2 * std::max<std::size_t>(count, next_at_);
  try {
    thread_ = std::thread([this] { run(); });
  } catch (const std::exception& e) {
    under_way_ = false;
    error_ = std::string("no thread for the training: ") + e.what();
  }
}

void ClusterCodec::run() {
  std::string error;
  try {
    const ThreadLease lease(1);
    const LeasedThread leased;
    std::lock_guard training(training_mutex_);
    if (get() == nullptr && !stopping_) {
      if (trained_ == nullptr) trained_ = Codec::train(spec_, sample());
      if (!stopping_) convert(Unreachable::kPassedOver);
    }
  } catch (const std::exception& e) {
    error = e.what();
  }
  std::lock_guard lock(state_mutex_);
  error_ = std::move(error);
  under_way_ = false;
  ended_.notify_all();
}

// Tokens are hashes: the first keys of the ring are as good a sample as any.
Matrix ClusterCodec::sample() const {
  const auto shards = control_.shards();
  const ParsedSpec parsed = parse_spec(spec_);
  std::size_t most = std::max(train_at_, min_training_samples(spec_));
  if (parsed.family == IndexFamily::kIvf) most = std::max(most, kMostSamplesPerList * parsed.nlist);
  const std::size_t share = (most + shards.size() - 1) / std::max<std::size_t>(1, shards.size());
  const std::size_t d = spec_.dimension;
  std::vector<float> floats;
  const Arc whole{0, 0};
  RecordPage page(d);
  for (const auto& shard : shards) {
    ScanPosition position;
    std::size_t taken = 0;
    for (bool more = true; more && taken < share && !stopping_;) {
      page.clear();
      more = shard->scan(std::span(&whole, 1), position, kPage, ScanContents::kVectors, page);
      for (std::size_t i = 0; i < page.size() && taken < share; ++i) {
        const RecordView record = page[i];
        if (record.deleted) continue;
        floats.insert(floats.end(), record.vector, record.vector + d);
        ++taken;
      }
    }
  }
  return map_rows(floats.data(), floats.size() / d, d);
}

TrainingState ClusterCodec::state() const {
  if (!needed_) return {};
  if (get() != nullptr) return {TrainingStage::kTrained, {}};
  std::lock_guard lock(state_mutex_);
  return {under_way_ ? TrainingStage::kTraining : TrainingStage::kFlat, error_};
}

void ClusterCodec::wait() const {
  std::unique_lock lock(state_mutex_);
  ended_.wait(lock, [this] { return !under_way_; });
}

}  // namespace annulus
