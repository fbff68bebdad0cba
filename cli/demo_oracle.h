// What the demo knows by itself: the vector of every key, and exact answers, without any of the library's own search.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/matrix.h"
#include "shard/vector_router.h"

namespace annulus::cli {

/// What reading every key of the oracle from a router gave.
struct OracleComparison {
  std::uint64_t live = 0;         ///< keys that must be there
  std::uint64_t erased = 0;       ///< keys that must not
  std::uint64_t missing = 0;      ///< of `live`, those that were not found
  std::uint64_t wrong = 0;        ///< of `live`, those found with another vector than was written last
  std::uint64_t resurrected = 0;  ///< of `erased`, those that were found

  bool ok() const noexcept { return missing == 0 && wrong == 0 && resurrected == 0; }
};

/// The answers of a router to the demo's queries, compared with exact ones.
struct RecallProbe {
  double recall = 0;                              ///< at 10; a neighbour that is as near as the exact tenth counts
  double coverage = 1;                            ///< of the search
  std::uint64_t duplicates = 0;                   ///< keys that an answer held more than once
  double seconds = 0;                             ///< of the search: all queries in one batch
  std::vector<std::vector<std::string>> answers;  ///< one a query: its neighbours, nearest first
};

inline constexpr std::size_t kRecallDepth = 10;

/// Every key that was written, with the vector that was written last or the mark that it was erased. Not thread-safe.
class Oracle {
 public:
  explicit Oracle(std::size_t dimension) : dimension_(dimension) {}

  /// `vector`: unit length.
  void put(const std::string& key, const VectorView& vector) { entries_[key] = vector; }
  void erase(const std::string& key) { entries_[key].reset(); }
  /// The vector of a key, or nothing if it is erased. Throws std::out_of_range if it was never written.
  const std::optional<Vector>& at(const std::string& key) const { return entries_.at(key); }
  bool holds(const std::string& key) const {
    const auto entry = entries_.find(key);
    return entry != entries_.end() && entry->second.has_value();
  }
  std::uint64_t live() const noexcept;

  /// Reads every key, live or erased, from `router`.
  OracleComparison compare(const VectorRouter& router) const;

  /// Searches for the neighbours of `words` (live keys), and compares with a product of all queries and all vectors. The word
  /// itself counts neither as a neighbour nor as an answer. O(words x keys x d).
  RecallProbe probe(const VectorRouter& router, const std::vector<std::string>& words) const;

 private:
  std::size_t dimension_;
  std::map<std::string, std::optional<Vector>> entries_;
};

/// For each row of `queries`, the rows of `vectors` by falling similarity, at most `k`, without the row `itself[i]`.
std::vector<std::vector<std::size_t>> exact_neighbors(const Matrix& queries, const std::vector<std::size_t>& itself,
                                                      const Matrix& vectors, std::size_t k);

}  // namespace annulus::cli
