#include "index/walk_forecast.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace annulus {
namespace {

// By how much the nearest rows must be likelier under a share of their own than under that of all rows, as a logarithm, before
// they count: there are many numbers of nearest rows, and by chance alone one in ten queries has a number that reaches this.
constexpr double kEvidence = 3;

double times_log(double x) { return x <= 0 ? 0 : x * std::log(x); }

/// The logarithm of that likelihood, for `accepted` of `asked` rows.
double evidence(double accepted, double asked, double share) {
  return times_log(accepted) + times_log(asked - accepted) - times_log(asked) - accepted * std::log(share) -
         (asked - accepted) * std::log1p(-share);
}

}  // namespace

double rows_to_meet(std::span<const char> accepted, double rows_each, double share, double ef) {
  const auto sampled = static_cast<double>(accepted.size());
  share = std::clamp(share, 1e-9, 1 - 1e-9);
  double most = kEvidence, near = 0, near_accepted = 0;
  double seen = 0;
  const auto look = [&](double asked) {
    if (asked == 0) return;
    const double found = evidence(seen, asked, share);
    if (found <= most) return;
    most = found;
    near = asked;
    near_accepted = seen;
  };
  for (std::size_t i = 0; i < accepted.size(); ++i) {
    if (accepted[i] == 0) continue;
    // the share is least before an accepted row, and greatest behind it
    look(static_cast<double>(i));
    ++seen;
    look(static_cast<double>(i) + 1);
  }
  if (near == 0) return ef / share;
  const double near_share = (near_accepted + 0.5) / (near + 1);
  const double near_rows = near * rows_each;
  if (ef <= near_share * near_rows) return ef / near_share;
  const double far_share = (share * sampled - near_accepted + 0.5) / (sampled - near + 1);
  return near_rows + (ef - near_share * near_rows) / std::max(far_share, 1e-9);
}

}  // namespace annulus
