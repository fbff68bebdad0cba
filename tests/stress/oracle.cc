#include "tests/stress/oracle.h"

#include <algorithm>
#include <limits>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

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

std::string Oracle::check_order(std::span<const Neighbor> answer) const {
  std::unordered_set<std::string_view> answered;
  for (std::size_t i = 0; i < answer.size(); ++i) {
    if (!answered.insert(answer[i].key).second) return "search answers " + answer[i].key + " twice";
    if (i == 0) continue;
    const float before = library_distance(answer[i - 1]);
    const float here = library_distance(answer[i]);
    if (before > here || (before == here && answer[i - 1].key > answer[i].key)) {
      return "search answers out of order at " + answer[i].key;
    }
  }
  return {};
}

std::string Oracle::check_search(const Vector& query, std::size_t k, std::span<const Neighbor> answer, Tick from,
                                 const Accepts& accepts) const {
  if (std::string wrong = check_order(answer); !wrong.empty()) return wrong;
  const auto distance_of = [&](std::size_t number, const State& state) {
    return distance(metric_, query.data(), vector_of(number, state.sequence).data(), dimension_);
  };
  std::unordered_map<std::string, float> answered;
  for (const Neighbor& neighbor : answer) answered.emplace(neighbor.key, library_distance(neighbor));
  for (std::size_t number = 0; number < keys(); ++number) {
    const std::vector<State> allowed = states(number, from);
    const std::string name = key(number);
    const auto found = answered.find(name);
    if (accepts && !accepts(number)) {
      if (found != answered.end()) return "search answers " + name + ", which its filter refuses";
      continue;
    }
    // an answered key has one of its states; a key that is not answered has one that does not belong into the answer
    const bool right = std::any_of(allowed.begin(), allowed.end(), [&](const State& state) {
      if (found != answered.end()) return state.live && distance_of(number, state) == found->second;
      if (!state.live) return true;
      if (answer.size() < k) return false;
      const float last = library_distance(answer.back());
      const float d = distance_of(number, state);
      return d > last || (d == last && name > answer.back().key);
    });
    if (!right)
      return (found != answered.end() ? "search answers a wrong state: " : "search misses a key: ") + describe(number, allowed);
  }
  return {};
}

std::string Oracle::check_approximate_search(const Vector& query, std::size_t k, std::span<const Neighbor> answer, Tick from,
                                             Recall& recall, const Accepts& accepts) const {
  if (std::string wrong = check_order(answer); !wrong.empty()) return wrong;
  if (answer.size() > k) return "search answers more than it was asked for";
  std::unordered_map<std::string, float> answered;
  for (const Neighbor& neighbor : answer) answered.emplace(neighbor.key, library_distance(neighbor));
  std::vector<float> all;      // of each key that is there for sure, the least distance that it may have
  std::vector<float> settled;  // of each key that has one state, and is there
  std::vector<float> settled_answers;
  for (std::size_t number = 0; number < keys(); ++number) {
    const std::vector<State> allowed = states(number, from);
    const auto found = answered.find(key(number));
    if (accepts && !accepts(number)) {
      if (found != answered.end()) return "search answers " + key(number) + ", which its filter refuses";
      continue;
    }
    float nearest = std::numeric_limits<float>::infinity();
    bool right = found == answered.end();
    for (const State& state : allowed) {
      if (!state.live) continue;
      const float d = distance(metric_, query.data(), vector_of(number, state.sequence).data(), dimension_);
      nearest = std::min(nearest, d);
      right = right || d == found->second;
    }
    if (!right) return "search answers a wrong state: " + describe(number, allowed);
    const bool is_answered = found != answered.end();
    if (is_answered) answered.erase(found);
    if (nearest == std::numeric_limits<float>::infinity()) continue;
    all.push_back(nearest);
    if (allowed.size() > 1) continue;
    settled.push_back(nearest);
    if (is_answered) settled_answers.push_back(nearest);
  }
  if (!answered.empty()) return "search answers a key that was never written: " + answered.begin()->first;
  if (all.empty()) return {};
  // with every doubtful key as near as it may be, what is nearer than the k-th belongs into every exact answer
  const std::size_t last = std::min(k, all.size()) - 1;
  std::nth_element(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(last), all.end());
  const float radius = all[last];
  const auto within = [&](const std::vector<float>& distances) {
    return static_cast<std::size_t>(std::count_if(distances.begin(), distances.end(), [&](float d) { return d < radius; }));
  };
  recall.wanted += within(settled);
  recall.found += within(settled_answers);
  return {};
}

}  // namespace annulus::stress
