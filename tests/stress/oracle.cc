#include "tests/stress/oracle.h"

#include <algorithm>
#include <unordered_map>

#include "index/distance.h"

namespace annulus::stress {
namespace {

std::uint64_t mix(std::uint64_t x) {
  x += 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

}  // namespace

Oracle::Oracle(std::size_t keys, std::size_t dimension, Metric metric, std::uint64_t seed)
    : dimension_(dimension), metric_(metric), seed_(seed), histories_(keys) {}

Vector Oracle::vector_of(std::size_t number, std::uint64_t sequence) const {
  Vector vector(static_cast<Eigen::Index>(dimension_));
  std::uint64_t state = mix(seed_ ^ mix(number * 1000003 + sequence));
  for (Eigen::Index i = 0; i < vector.size(); ++i) {
    state = mix(state);
    vector[i] = static_cast<float>(state % 9);
  }
  return vector;
}

std::uint64_t Oracle::begin_write(std::size_t number, bool erase) {
  History& history = histories_[number];
  std::lock_guard lock(history.mutex);
  const std::uint64_t sequence = history.writes.empty() ? 1 : history.writes.back().sequence + 1;
  history.writes.push_back({sequence, kPending, erase, false});
  return sequence;
}

void Oracle::end_write(std::size_t number, std::uint64_t sequence, bool acknowledged) {
  const Tick end = now();
  History& history = histories_[number];
  std::lock_guard lock(history.mutex);
  Write& write = history.writes[sequence - 1];
  write.end = end;
  write.acknowledged = acknowledged;
}

std::vector<Oracle::State> Oracle::states(std::size_t number, Tick from) const {
  const History& history = histories_[number];
  std::lock_guard lock(history.mutex);
  std::vector<State> states;
  // newest first, down to the last write that had been acknowledged before the read began
  for (auto write = history.writes.rbegin(); write != history.writes.rend(); ++write) {
    states.push_back({!write->erase, write->sequence});
    if (write->acknowledged && write->end < from) return states;
  }
  states.push_back({false, 0});
  return states;
}

std::string Oracle::describe(std::size_t number, const std::vector<State>& states) const {
  std::string text = key(number) + " may be";
  for (const State& state : states) text += state.live ? " #" + std::to_string(state.sequence) : std::string(" absent");
  return text;
}

std::string Oracle::check_get(std::size_t number, const std::optional<Vector>& answer, Tick from) const {
  const std::vector<State> allowed = states(number, from);
  for (const State& state : allowed) {
    if (state.live != answer.has_value()) continue;
    if (!state.live || *answer == vector_of(number, state.sequence)) return {};
  }
  return "get answers " + std::string(answer ? "another vector" : "absent") + ": " + describe(number, allowed);
}

std::string Oracle::check_search(const Vector& query, std::size_t k, std::span<const Neighbor> answer, Tick from) const {
  const auto distance_of = [&](std::size_t number, const State& state) {
    return distance(metric_, query.data(), vector_of(number, state.sequence).data(), dimension_);
  };
  std::unordered_map<std::string, float> answered;
  for (std::size_t i = 0; i < answer.size(); ++i) {
    if (!answered.emplace(answer[i].key, answer[i].distance).second) return "search answers " + answer[i].key + " twice";
    if (i > 0 && (answer[i - 1].distance > answer[i].distance ||
                  (answer[i - 1].distance == answer[i].distance && answer[i - 1].key > answer[i].key))) {
      return "search answers out of order at " + answer[i].key;
    }
  }
  for (std::size_t number = 0; number < keys(); ++number) {
    const std::vector<State> allowed = states(number, from);
    const std::string name = key(number);
    const auto found = answered.find(name);
    // an answered key has one of its states; a key that is not answered has one that does not belong into the answer
    const bool right = std::any_of(allowed.begin(), allowed.end(), [&](const State& state) {
      if (found != answered.end()) return state.live && distance_of(number, state) == found->second;
      if (!state.live) return true;
      if (answer.size() < k) return false;
      const float d = distance_of(number, state);
      return d > answer.back().distance || (d == answer.back().distance && name > answer.back().key);
    });
    if (!right)
      return (found != answered.end() ? "search answers a wrong state: " : "search misses a key: ") + describe(number, allowed);
  }
  return {};
}

}  // namespace annulus::stress
