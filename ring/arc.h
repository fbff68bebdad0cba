// Arcs: half-open ranges of tokens, and sets of them.
#pragma once

#include <cstddef>
#include <vector>

#include "ring/token.h"

namespace annulus {

/// Counts of tokens: the whole ring has 2^64 of them, one more than a 64-bit integer can say.
__extension__ typedef unsigned __int128 Uint128;

/// 2^64: how many tokens the ring has.
inline constexpr Uint128 kRingWidth = Uint128{1} << 64;

/// The tokens (lo, hi], clockwise, through 0 if hi <= lo. lo == hi is the whole ring; no arc is empty.
struct Arc {
  Token lo = 0;  ///< excluded (unless the arc is the whole ring)
  Token hi = 0;  ///< included

  constexpr bool contains(Token token) const noexcept { return lo == hi || Token{token - lo - 1} < Token{hi - lo}; }

  /// Number of tokens, 1 to 2^64.
  constexpr Uint128 width() const noexcept { return lo == hi ? kRingWidth : Uint128{Token{hi - lo}}; }

  /// Share of the ring, in (0, 1].
  double fraction() const noexcept;

  constexpr bool is_whole() const noexcept { return lo == hi; }

  friend constexpr bool operator==(const Arc&, const Arc&) noexcept = default;
};

/// A set of tokens, kept as the fewest arcs that make it up. Equal sets have equal arcs.
/// A value; const calls from any threads.
class ArcSet {
 public:
  /// The empty set.
  ArcSet() = default;

  /// The union of `arcs`, in any order, overlapping or adjacent as they may be. O(n log n).
  explicit ArcSet(const std::vector<Arc>& arcs);

  /// The whole ring.
  static ArcSet whole();

  /// O(log n).
  bool contains(Token token) const noexcept;

  /// The tokens that are not in this set. O(n).
  ArcSet complement() const;

  /// The tokens in this set or in `other`. O((n + m) log(n + m)).
  ArcSet united(const ArcSet& other) const;

  /// The tokens in both sets.
  ArcSet intersected(const ArcSet& other) const;

  /// Disjoint, not adjacent, sorted by lo: only the last can pass through 0. Empty for the empty set; {{0, 0}} for the
  /// whole ring.
  const std::vector<Arc>& arcs() const noexcept { return arcs_; }

  /// Number of tokens, 0 to 2^64.
  Uint128 width() const noexcept;

  /// Share of the ring, in [0, 1].
  double fraction() const noexcept;

  bool empty() const noexcept { return arcs_.empty(); }
  bool is_whole() const noexcept { return arcs_.size() == 1 && arcs_.front().is_whole(); }

  friend bool operator==(const ArcSet&, const ArcSet&) noexcept = default;

 private:
  std::vector<Arc> arcs_;
};

/// `width` of `total` as a fraction; exact up to the final rounding to double.
double fraction_of(Uint128 width, Uint128 total) noexcept;

}  // namespace annulus
