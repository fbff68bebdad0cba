#include "ring/resize_stages.h"

#include <utility>

#include "core/error.h"

namespace annulus {
namespace {

Error wrong_stage(std::string_view what, ResizeStage stage) {
  return Error(ErrorCode::kFailedPrecondition,
               std::string(what) + " is not possible in stage '" + std::string(to_string(stage)) + "' of a resize");
}

bool has(const std::shared_ptr<const Layout>& layout, std::string_view id) noexcept {
  return layout != nullptr && layout->ring.index_of(id).has_value();
}

}  // namespace

std::string_view to_string(ResizeStage stage) noexcept {
  switch (stage) {
    case ResizeStage::kNone: return "none";
    case ResizeStage::kCopying: return "copying";
    case ResizeStage::kRetiring: return "retiring";
    case ResizeStage::kAborting: return "aborting";
  }
  return "unknown";
}

ResizeStages::ResizeStages(RingOptions ring, std::size_t replicas) : declared_ring_(ring), declared_replicas_(replicas) {
  settle();
}

void ResizeStages::require_no_resize(std::string_view what) const {
  if (stage_ == ResizeStage::kNone) return;
  throw Error(ErrorCode::kFailedPrecondition,
              std::string(what) + " while a resize is in stage '" + std::string(to_string(stage_)) + "': finish or abort it first");
}

void ResizeStages::require_stage(ResizeStage stage, std::string_view what) const {
  if (stage_ != stage) throw wrong_stage(what, stage_);
}

void ResizeStages::add_node(Node node) {
  require_no_resize("attach_node");
  declared_ring_.add_node(std::move(node));
}

void ResizeStages::remove_node(std::string_view id) {
  require_no_resize("detach_node");
  declared_ring_.remove_node(id);
}

void ResizeStages::set_weight(std::string_view id, double weight) {
  require_no_resize("set_weight");
  declared_ring_.set_weight(id, weight);
}

void ResizeStages::set_replicas(std::size_t replicas) {
  if (replicas == 0) throw Error(ErrorCode::kInvalidArgument, "0 replicas: a key needs at least 1");
  require_no_resize("set_replicas");
  declared_replicas_ = replicas;
}

void ResizeStages::settle() {
  const auto layout = make_layout(declared_ring_, declared_replicas_);
  placement_ = {.serving = layout, .target = layout, .retiring = nullptr, .epoch = placement_.epoch};
}

bool ResizeStages::holds(std::string_view id) const noexcept {
  return has(placement_.serving, id) || has(placement_.target, id) || has(placement_.retiring, id);
}

bool ResizeStages::names(std::string_view id) const noexcept { return holds(id) || declared_ring_.index_of(id).has_value(); }

bool ResizeStages::begin() {
  require_stage(ResizeStage::kNone, "a resize");
  const Layout& serving = *placement_.serving;
  if (serving.ring.fingerprint() == declared_ring_.fingerprint() && serving.replicas == declared_replicas_) return false;
  placement_.target = make_layout(declared_ring_, declared_replicas_);
  stage_ = ResizeStage::kCopying;
  return true;
}

bool ResizeStages::begin(const ConsistentHasher& ring, std::size_t replicas) {
  require_stage(ResizeStage::kNone, "a resize");
  if (ring.fingerprint() != declared_ring_.fingerprint() || replicas != declared_replicas_) {
    throw Error(ErrorCode::kFailedPrecondition, "the declared ring has changed since the plan was made; plan again");
  }
  return begin();
}

void ResizeStages::publish_target() {
  require_stage(ResizeStage::kCopying, "publishing the target");
  placement_.retiring = std::exchange(placement_.serving, placement_.target);
  stage_ = ResizeStage::kRetiring;
}

void ResizeStages::begin_abort() {
  require_stage(ResizeStage::kCopying, "an abort");
  placement_.retiring = std::exchange(placement_.target, placement_.serving);
  declared_ring_ = placement_.serving->ring;
  declared_replicas_ = placement_.serving->replicas;
  stage_ = ResizeStage::kAborting;
}

void ResizeStages::finish() {
  if (stage_ != ResizeStage::kRetiring && stage_ != ResizeStage::kAborting) throw wrong_stage("finishing", stage_);
  placement_.retiring = nullptr;
  stage_ = ResizeStage::kNone;
}

}  // namespace annulus
