#include "ring/ring_stats.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/error.h"
#include "ring/arc.h"
#include "ring/replica_table.h"

namespace annulus {
namespace {

/// Adds each node's shares, from the arcs.
void measure_arcs(const ConsistentHasher& ring, std::size_t replicas, std::vector<NodeShare>& nodes) {
  const ReplicaTable table(ring, replicas);
  std::vector<Uint128> as_primary(nodes.size());
  std::vector<Uint128> as_replica(nodes.size());
  for (const ReplicaTable::DistinctSet& set : table.distinct_sets()) {
    as_primary[set.nodes.front()] += set.width;
    for (const NodeIndex node : set.nodes) as_replica[node] += set.width;
  }
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    nodes[i].share = fraction_of(as_primary[i], kRingWidth);
    nodes[i].replica_share = fraction_of(as_replica[i], kRingWidth * table.num_replicas());
  }
}

/// Adds each node's shares, from the middles of `samples` equal parts of the ring.
void measure_samples(const ConsistentHasher& ring, std::size_t replicas, std::size_t samples, std::vector<NodeShare>& nodes) {
  std::vector<NodeIndex> row(std::min(replicas, ring.num_nodes()));
  std::vector<std::size_t> as_primary(nodes.size());
  std::vector<std::size_t> as_replica(nodes.size());
  for (std::size_t i = 0; i < samples; ++i) {
    ring.replicas(static_cast<Token>(kRingWidth * (2 * Uint128{i} + 1) / 2 / samples), row);
    ++as_primary[row.front()];
    for (const NodeIndex node : row) ++as_replica[node];
  }
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    nodes[i].share = static_cast<double>(as_primary[i]) / static_cast<double>(samples);
    nodes[i].replica_share = static_cast<double>(as_replica[i]) / (static_cast<double>(samples) * static_cast<double>(row.size()));
  }
}

}  // namespace

RingStats ring_stats(const ConsistentHasher& ring, std::size_t replicas, std::size_t samples) {
  if (replicas == 0) throw Error(ErrorCode::kInvalidArgument, "0 replicas: a key has at least 1");
  RingStats stats;
  stats.tokens = ring.num_tokens();
  stats.replicas = replicas;
  stats.bytes_per_token = ring.bytes_per_token();
  stats.fingerprint = ring.fingerprint();
  if (ring.options().probes > 1) {
    if (samples == 0) {
      throw Error(ErrorCode::kInvalidArgument, "0 samples: the shares of a ring with " + std::to_string(ring.options().probes) +
                                                   " probes are sampled; pass a million");
    }
    stats.method = ShareMethod::kSampled;
    stats.samples = samples;
  }
  if (ring.num_nodes() == 0) return stats;

  for (const Node& node : ring.nodes()) stats.nodes.push_back({node.id, node.weight, node.zone});
  for (const NodeIndex owner : ring.owners()) ++stats.nodes[owner].tokens;
  if (stats.method == ShareMethod::kExact) {
    measure_arcs(ring, replicas, stats.nodes);
  } else {
    measure_samples(ring, replicas, samples, stats.nodes);
  }

  const double total_weight =
      std::accumulate(stats.nodes.begin(), stats.nodes.end(), 0.0, [](double sum, const NodeShare& n) { return sum + n.weight; });
  const double intervals_per_token = 2.0 * ring.options().probes - 1.0;
  double squares = 0.0;
  double theory_squares = 0.0;
  for (const NodeShare& node : stats.nodes) {
    const double of_fair = node.share * total_weight / node.weight;
    stats.peak_to_average = std::max(stats.peak_to_average, of_fair);
    squares += (of_fair - 1.0) * (of_fair - 1.0);
    theory_squares += 1.0 / (static_cast<double>(node.tokens) * intervals_per_token);
  }
  stats.stddev = std::sqrt(squares / static_cast<double>(stats.nodes.size()));
  stats.theory_stddev = std::sqrt(theory_squares / static_cast<double>(stats.nodes.size()));
  return stats;
}

}  // namespace annulus
