// A small cluster of shards that can be broken, beside the map that it must agree with.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "index/distance.h"
#include "shard/vector_router.h"
#include "shard/vector_shard.h"
#include "tests/core/expect_error.h"
#include "tests/shard/faulty_shard.h"

namespace annulus::testing {

inline Vector random_vector(std::size_t d, std::mt19937_64& random) {
  std::normal_distribution<float> normal;
  Vector vector(static_cast<Eigen::Index>(d));
  for (Eigen::Index i = 0; i < vector.size(); ++i) vector[i] = normal(random);
  return vector;
}

inline Matrix random_matrix(std::size_t n, std::size_t d, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  Matrix matrix(static_cast<Eigen::Index>(n), static_cast<Eigen::Index>(d));
  for (Eigen::Index i = 0; i < matrix.rows(); ++i) matrix.row(i) = random_vector(d, random);
  return matrix;
}

inline IndexSpec spec_of(const std::string& factory, std::size_t dimension = 4, Metric metric = Metric::kL2) {
  IndexSpec spec;
  spec.dimension = dimension;
  spec.metric = metric;
  spec.factory = factory;
  spec.ef_construction = 40;
  return spec;
}

inline RouterOptions router_options(std::size_t replicas, IndexSpec index = spec_of("Flat"), KeyKind kind = KeyKind::kBytes) {
  RouterOptions options;
  options.index = std::move(index);
  options.key_kind = kind;
  options.replicas = replicas;
  options.ring.virtual_nodes_per_weight = 8;
  return options;
}

struct Hit {
  std::string key;
  float distance;

  friend bool operator==(const Hit&, const Hit&) = default;
};

inline void PrintTo(const Hit& hit, std::ostream* out) { *out << display_key(hit.key) << " at " << hit.distance; }

inline std::vector<Hit> hits_of(const SearchResult& result, std::size_t query = 0) {
  std::vector<Hit> hits;
  for (const Neighbor& neighbor : result[query]) hits.push_back({neighbor.key, neighbor.distance});
  return hits;
}

/// What a router must hold: the accepted vector of every live key.
class Oracle {
 public:
  Oracle(Metric metric, KeyKind kind) : metric_(metric), kind_(kind) {}

  Vector accepted(Vector vector) const {
    if (metric_ == Metric::kCosine) normalise(vector.data(), static_cast<std::size_t>(vector.size()));
    return vector;
  }
  void put(KeyView key, const Vector& vector) { live_[std::string(key)] = accepted(vector); }
  void erase(KeyView key) { live_.erase(std::string(key)); }
  const std::map<std::string, Vector>& live() const { return live_; }

  /// The answer of one index over all vectors, by the kernel that the shards must agree with bit for bit.
  std::vector<Hit> nearest(const Vector& query, std::size_t k, const KeyFilter& filter = {}) const {
    const Vector asked = accepted(query);
    std::vector<Hit> hits;
    for (const auto& [key, vector] : live_) {
      if (filter && !filter(key)) continue;
      hits.push_back({key, distance(metric_, asked.data(), vector.data(), static_cast<std::size_t>(vector.size()))});
    }
    std::sort(hits.begin(), hits.end(), [this](const Hit& a, const Hit& b) {
      return a.distance != b.distance ? a.distance < b.distance : compare_keys(a.key, b.key, kind_) < 0;
    });
    hits.resize(std::min(k, hits.size()));
    if (metric_ != Metric::kL2) {
      for (Hit& hit : hits) hit.distance = -hit.distance;
    }
    return hits;
  }

 private:
  Metric metric_;
  KeyKind kind_;
  std::map<std::string, Vector> live_;
};

/// A router over faulty shards "s0", "s1", ..., and what it must hold.
class TestCluster {
 public:
  TestCluster(std::size_t count, RouterOptions options, std::uint64_t seed = 1)
      : router(std::move(options)), oracle(router.options().index.metric, router.options().key_kind), random(seed) {
    for (std::size_t i = 0; i < count; ++i) attach();
    if (needs_training(router.options().index)) {
      router.train(random_matrix(std::max<std::size_t>(600, min_training_samples(router.options().index)), dimension(), seed));
    }
  }

  std::size_t dimension() const { return router.options().index.dimension; }

  std::shared_ptr<FaultyShard> make_shard() {
    return std::make_shared<FaultyShard>(std::make_shared<VectorShard>("s" + std::to_string(made_++), router.options().index, router.options().key_kind));
  }
  FaultyShard& attach(double weight = 1.0, std::string zone = {}) {
    auto shard = make_shard();
    router.attach_node(shard, weight, std::move(zone));
    shards.push_back(shard);
    return *shard;
  }
  FaultyShard& operator[](std::string_view id) {
    for (const auto& shard : shards) {
      if (shard->id() == id) return *shard;
    }
    throw std::out_of_range(std::string(id));
  }

  std::string key(std::size_t number) const {
    if (router.options().key_kind == KeyKind::kId) return std::string(KeyView(IdKey(number)));
    return "key" + std::to_string(number);
  }

  /// Writes a random vector under key `number`; true if it was acknowledged (and then the oracle knows it).
  bool put(std::size_t number) {
    const Vector vector = random_vector(dimension(), random);
    const std::string name = key(number);
    const KeyView view = name;
    const bool taken = router.upsert(std::span(&view, 1), vector).ok();
    if (taken) oracle.put(name, vector);
    return taken;
  }
  bool erase(std::size_t number) {
    const std::string name = key(number);
    const KeyView view = name;
    const bool taken = router.erase(std::span(&view, 1)).ok();
    if (taken) oracle.erase(name);
    return taken;
  }
  void fill(std::size_t count, std::size_t first = 0) {
    std::vector<std::string> names;
    for (std::size_t i = 0; i < count; ++i) names.push_back(key(first + i));
    const std::vector<KeyView> keys(names.begin(), names.end());
    const Matrix vectors = random_matrix(count, dimension(), random());
    ASSERT_TRUE(router.upsert(keys, vectors).ok());
    for (std::size_t i = 0; i < count; ++i) oracle.put(names[i], vectors.row(static_cast<Eigen::Index>(i)));
  }

  /// Every key of the oracle is there as accepted, of the `numbers` first no other; and searches agree with brute force.
  void expect_agreement(std::size_t numbers) {
    for (std::size_t number = 0; number < numbers; ++number) {
      const std::string name = key(number);
      const auto held = router.get(name);
      const auto expected = oracle.live().find(name);
      ASSERT_EQ(held.has_value(), expected != oracle.live().end()) << display_key(name, router.options().key_kind);
      ASSERT_EQ(router.contains(name), held.has_value());
      if (held && lossless()) {
        ASSERT_EQ(*held, expected->second) << display_key(name, router.options().key_kind);
      }
    }
    if (!exact()) return;
    for (int i = 0; i < 4; ++i) {
      const Vector query = random_vector(dimension(), random);
      const SearchResult result = router.search(query, 10);
      ASSERT_EQ(result.coverage, 1.0);
      ASSERT_EQ(hits_of(result), oracle.nearest(query, 10));
    }
  }
  /// Whether searches with no parameters compare every row with the query, and rank by exact distances at least 40 of them.
  bool exact() const {
    const IndexSpec& spec = router.options().index;
    if (spec.factory == "Flat") return true;
    const std::size_t flat = spec.factory.find(",Flat");
    if (!spec.factory.starts_with("IVF") || flat == std::string::npos || spec.factory.find('_') != std::string::npos) return false;
    return static_cast<std::size_t>(spec.nprobe) >= std::stoul(spec.factory.substr(3, flat - 3));
  }
  bool lossless() const {
    const std::string& factory = router.options().index.factory;
    return factory.find(',') == std::string::npos || factory.ends_with(",Flat");
  }
  /// Whether shards hold their rows in codes that they can give each other.
  bool moves_codes() const { return router.options().index.factory.starts_with("IVF"); }

  VectorRouter router;
  Oracle oracle;
  std::mt19937_64 random;
  std::vector<std::shared_ptr<FaultyShard>> shards;

 private:
  std::size_t made_ = 0;
};

}  // namespace annulus::testing
