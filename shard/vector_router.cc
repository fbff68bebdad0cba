// Membership, codec, point reads, health and upkeep of the router.
#include "shard/vector_router.h"

#include <algorithm>

#include "core/error.h"

namespace annulus {
namespace {

RouterOptions checked(RouterOptions options) {
  parse_spec(options.index);
  if (options.replicas == 0) throw Error(ErrorCode::kInvalidArgument, "0 replicas: a key needs at least 1");
  return options;
}

std::string describe(const IndexSpec& spec, KeyKind kind) {
  return std::to_string(spec.dimension) + " x " + std::string(to_string(spec.metric)) + " x " + spec.factory +
         (kind == KeyKind::kId ? " of ids" : " of byte keys");
}

}  // namespace

VectorRouter::VectorRouter(RouterOptions options)
    : options_(checked(std::move(options))),
      control_(options_.ring, options_.replicas, parse_spec(options_.index).family),
      clock_(options_.writer),
      codec_(options_.index, options_.replicas, options_.train_at, control_) {}

VectorRouter::~VectorRouter() = default;

void VectorRouter::attach_node(std::shared_ptr<Shard> shard, double weight, std::string zone) {
  if (shard == nullptr) throw Error(ErrorCode::kInvalidArgument, "attach_node of no shard: the pointer is null");
  const IndexSpec& spec = shard->spec();
  if (spec.dimension != options_.index.dimension || spec.metric != options_.index.metric || spec.factory != options_.index.factory ||
      shard->key_kind() != options_.key_kind) {
    throw Error(ErrorCode::kInvalidArgument, "shard '" + shard->id() + "' is " + describe(spec, shard->key_kind()) + ", the router " +
                                                 describe(options_.index, options_.key_kind) + "; all shards of a router have one spec and key kind");
  }
  const auto members = control_.shards();
  const ShardStats stats = shard->stats();
  // a member is refused by the control: not for its records, which nobody should be told to drop
  const bool joins = std::none_of(members.begin(), members.end(), [&](const auto& member) { return member->id() == shard->id(); });
  if (joins && stats.live + stats.tombstones > 0) {
    throw Error(ErrorCode::kFailedPrecondition, "shard '" + shard->id() + "' holds " + std::to_string(stats.live + stats.tombstones) +
                                                    " records already; a shard joins empty, drop them first");
  }
  Shard& joining = *shard;
  codec_.adopt(joining, [&] { control_.attach(std::move(shard), weight, std::move(zone)); });
}

void VectorRouter::train(const MatrixView& samples) { codec_.train(accepted(samples, "the training samples")); }

namespace {

/// Asks the owners of `key` that are up, one after the other, until one answers.
template <typename Ask>
auto read_from_owner(const ClusterSnapshot& snapshot, KeyView key, KeyKind kind, Ask&& ask) {
  std::string reasons;
  const LayoutView& serving = snapshot.serving();
  for (const NodeIndex node : serving.layout->table->replicas(token_of_key(key))) {
    const Member& member = snapshot.members()[serving.member_of[node]];
    if (member.health != ShardHealth::kUp) {
      reasons += "; shard '" + member.shard->id() + "' is " + std::string(to_string(member.health));
      continue;
    }
    try {
      return ask(*member.shard);
    } catch (const std::exception&) {
      reasons += "; shard '" + member.shard->id() + "': " + describe_failure(member.shard->id(), std::current_exception()).message;
    }
  }
  throw Error(ErrorCode::kUnavailable, "no owner of key '" + display_key(key, kind) + "' answers" +
                                           (reasons.empty() ? "; no shard is attached" : reasons) + "; bring one up and try again");
}

}  // namespace

std::optional<Vector> VectorRouter::get(KeyView key) const {
  validate_key(key, options_.key_kind);
  Vector vector = Vector::Zero(static_cast<Eigen::Index>(options_.index.dimension));
  const SnapshotPtr snapshot = control_.pin();
  const HeldRecord held = read_from_owner(*snapshot, key, options_.key_kind, [&](const Shard& shard) {
    return shard.get(key, std::span(vector.data(), options_.index.dimension));
  });
  if (!held.found || held.deleted) return std::nullopt;
  return vector;
}

std::size_t VectorRouter::get(std::span<const KeyView> keys, Matrix& vectors, std::vector<bool>& found) const {
  validate_keys(keys);
  vectors.setZero(static_cast<Eigen::Index>(keys.size()), static_cast<Eigen::Index>(options_.index.dimension));
  found.assign(keys.size(), false);
  const SnapshotPtr snapshot = control_.pin();
  std::size_t count = 0;
  for (std::size_t row = 0; row < keys.size(); ++row) {
    const std::span<float> vector(vectors.row(static_cast<Eigen::Index>(row)).data(), options_.index.dimension);
    const HeldRecord held =
        read_from_owner(*snapshot, keys[row], options_.key_kind, [&](const Shard& shard) { return shard.get(keys[row], vector); });
    found[row] = held.found && !held.deleted;
    count += found[row] ? 1 : 0;
  }
  return count;
}

bool VectorRouter::contains(KeyView key) const {
  validate_key(key, options_.key_kind);
  const SnapshotPtr snapshot = control_.pin();
  return read_from_owner(*snapshot, key, options_.key_kind, [&](const Shard& shard) { return shard.contains(key); });
}

SyncReport VectorRouter::bring_up(std::string_view id, UnreachablePolicy policy) {
  // A shard that was away while the others were trained gets the codec before it serves.
  for (const auto& shard : control_.shards()) {
    if (shard->id() != id) continue;
    try {
      codec_.adopt(*shard, [] {});
    } catch (const Error& e) {
      if (e.code() != ErrorCode::kUnavailable) throw;
    }
  }
  control_.mark_returned(id);
  return synchronise(control_, id, policy);
}

std::vector<SyncReport> VectorRouter::synchronise_all() {
  control_.tell_primary_arcs();
  std::vector<SyncReport> reports;
  for (const ShardState& state : shard_states()) {
    if (state.health == ShardHealth::kBehind) reports.push_back(synchronise(control_, state.id));
  }
  return reports;
}

std::uint64_t VectorRouter::collect_tombstones() {
  // An older write that is still on its way would bring an erased key back: they all end before the drain does.
  const Version newest = clock_.last();
  control_.drain();
  std::uint64_t fell = 0;
  control_.with_layouts_frozen([&](const ClusterSnapshot& snapshot) {
    if (control_.stage() != ResizeStage::kNone) {
      throw Error(ErrorCode::kFailedPrecondition, "tombstones cannot be collected while a resize is under way; finish or abort it");
    }
    for (const Member& member : snapshot.members()) {
      if (member.health != ShardHealth::kUp) {
        throw Error(ErrorCode::kFailedPrecondition, "shard '" + member.shard->id() + "' is " + std::string(to_string(member.health)) +
                                                        " and may miss erases; bring it up before collecting tombstones");
      }
    }
    for (const Member& member : snapshot.members()) fell += member.shard->collect_tombstones(newest);
  });
  return fell;
}

std::uint64_t VectorRouter::size() const {
  const SnapshotPtr snapshot = control_.pin();
  std::uint64_t live = 0;
  ArcSet counted;
  for (MemberIndex m = 0; m < snapshot->members().size(); ++m) {
    if (snapshot->members()[m].health != ShardHealth::kUp) continue;
    const ArcSet held = snapshot->serving().arcs_of(m);
    const std::vector<Arc> arcs = held.intersected(counted.complement()).arcs();
    for (const ArcDigest& digest : snapshot->members()[m].shard->digest(arcs)) live += digest.live;
    counted = counted.united(held);
  }
  return live;
}

std::vector<VectorRouter::ShardState> VectorRouter::shard_states() const {
  std::vector<ShardState> states;
  for (const auto& shard : control_.shards()) states.push_back({shard->id(), control_.health(shard->id()), shard->stats()});
  std::sort(states.begin(), states.end(), [](const ShardState& a, const ShardState& b) { return a.id < b.id; });
  return states;
}

}  // namespace annulus
