// What a node holds, sorted by token, so that the keys of an arc are one range. Internal to rebalance/.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "ring/arc.h"
#include "ring/token.h"

namespace annulus {

/// A node's keys at one moment. For nodes that keep no order of tokens: cache nodes, artifact hosts. Filled once, then read.
class KeyCatalogue {
 public:
  struct Entry {
    Token token;
    std::string key;
    friend auto operator<=>(const Entry&, const Entry&) = default;
  };

  void add(std::string key) {
    const Token token = token_of_key(key);
    entries_.push_back({token, std::move(key)});
  }

  /// Sorts; of equal keys one stays. Between the last add and the first look.
  void seal() {
    std::sort(entries_.begin(), entries_.end());
    entries_.erase(std::unique(entries_.begin(), entries_.end()), entries_.end());
  }

  const std::vector<Entry>& entries() const noexcept { return entries_; }

  /// Calls visit(entry) for each key in `arcs`, which are disjoint. O(arcs x log keys + keys visited).
  template <typename Visit>
  void each(std::span<const Arc> arcs, Visit&& visit) const {
    for (const Arc& arc : arcs) {
      if (arc.lo < arc.hi) {
        range(first_above(arc.lo), first_above(arc.hi), visit);
      } else {  // through 0, or the whole ring
        range(first_above(arc.lo), entries_.size(), visit);
        range(0, first_above(arc.hi), visit);
      }
    }
  }

 private:
  std::size_t first_above(Token token) const {
    const auto above = [](Token value, const Entry& entry) { return value < entry.token; };
    return static_cast<std::size_t>(std::upper_bound(entries_.begin(), entries_.end(), token, above) - entries_.begin());
  }
  template <typename Visit>
  void range(std::size_t begin, std::size_t end, Visit&& visit) const {
    for (std::size_t i = begin; i < end; ++i) visit(entries_[i]);
  }

  std::vector<Entry> entries_;
};

}  // namespace annulus
