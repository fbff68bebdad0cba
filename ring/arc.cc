#include "ring/arc.h"

#include <algorithm>

namespace annulus {
namespace {

/// An arc seen as an interval [begin, end) of a line: token t is at t - 1, so that an arc's lo is where it begins.
struct Interval {
  Uint128 begin;
  Uint128 end;  ///< up to kRingWidth
};

Uint128 end_of(Token hi) noexcept { return hi == 0 ? kRingWidth : Uint128{hi}; }

}  // namespace

double fraction_of(Uint128 width, Uint128 total) noexcept { return static_cast<double>(width) / static_cast<double>(total); }

double Arc::fraction() const noexcept { return fraction_of(width(), kRingWidth); }

ArcSet ArcSet::whole() { return ArcSet({Arc{0, 0}}); }

ArcSet::ArcSet(const std::vector<Arc>& arcs) {
  std::vector<Interval> intervals;
  intervals.reserve(arcs.size() + 1);
  for (const Arc& arc : arcs) {
    if (arc.is_whole()) {
      arcs_ = {Arc{0, 0}};
      return;
    }
    if (arc.lo < end_of(arc.hi)) {
      intervals.push_back({arc.lo, end_of(arc.hi)});
    } else {
      intervals.push_back({arc.lo, kRingWidth});
      intervals.push_back({0, arc.hi});
    }
  }
  std::sort(intervals.begin(), intervals.end(), [](const Interval& a, const Interval& b) { return a.begin < b.begin; });
  std::vector<Interval> merged;
  for (const Interval& next : intervals) {
    if (!merged.empty() && next.begin <= merged.back().end) {
      merged.back().end = std::max(merged.back().end, next.end);
    } else {
      merged.push_back(next);
    }
  }
  if (merged.size() > 1 && merged.front().begin == 0 && merged.back().end == kRingWidth) {
    merged.back().end += merged.front().end;
    merged.erase(merged.begin());
  }
  arcs_.reserve(merged.size());
  for (const Interval& i : merged) arcs_.push_back({static_cast<Token>(i.begin), static_cast<Token>(i.end)});
}

bool ArcSet::contains(Token token) const noexcept {
  if (arcs_.empty()) return false;
  const auto next =
      std::upper_bound(arcs_.begin(), arcs_.end(), Token{token - 1}, [](Token place, const Arc& arc) { return place < arc.lo; });
  return next == arcs_.begin() ? arcs_.back().contains(token) : std::prev(next)->contains(token);
}

ArcSet ArcSet::complement() const {
  if (arcs_.empty()) return whole();
  if (is_whole()) return {};
  std::vector<Arc> gaps;
  gaps.reserve(arcs_.size());
  for (std::size_t i = 0; i < arcs_.size(); ++i) gaps.push_back({arcs_[i].hi, arcs_[(i + 1) % arcs_.size()].lo});
  return ArcSet(gaps);
}

ArcSet ArcSet::united(const ArcSet& other) const {
  std::vector<Arc> all = arcs_;
  all.insert(all.end(), other.arcs_.begin(), other.arcs_.end());
  return ArcSet(all);
}

ArcSet ArcSet::intersected(const ArcSet& other) const { return complement().united(other.complement()).complement(); }

Uint128 ArcSet::width() const noexcept {
  Uint128 sum = 0;
  for (const Arc& arc : arcs_) sum += arc.width();
  return sum;
}

double ArcSet::fraction() const noexcept { return fraction_of(width(), kRingWidth); }

}  // namespace annulus
