// Searches and writes that go on while the cluster changes, each answer checked.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <exception>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "cli/demo_data.h"
#include "cli/demo_oracle.h"
#include "shard/vector_router.h"

namespace annulus::cli {

/// What a writer did, and what it read back.
struct WriteFigures {
  std::uint64_t inserted = 0;     ///< keys that were new, or erased before
  std::uint64_t overwritten = 0;
  std::uint64_t erased = 0;
  std::uint64_t stale = 0;        ///< a read after a write did not give what was written
  std::uint64_t resurrected = 0;  ///< a search after an erase gave the erased key
  double p99_seconds = 0;         ///< of a write alone; LiveLoad's figures only

  std::uint64_t all() const noexcept { return inserted + overwritten + erased; }
  WriteFigures& operator+=(const WriteFigures& other) noexcept;
  WriteFigures operator-(const WriteFigures& earlier) const noexcept;
};

/// What a searcher got.
struct SearchFigures {
  std::uint64_t searches = 0;
  std::uint64_t incomplete = 0;  ///< answers that were short, or of less than the whole key space
  std::uint64_t duplicates = 0;  ///< keys that an answer held more than once
  std::uint64_t wrong = 0;       ///< neighbours whose distance is not that of the key's vector
  double recall_at_10 = 0;       ///< among the words that nobody writes; see LiveLoad
  double p50_seconds = 0;
  double p99_seconds = 0;
};

/// Every fifth word belongs to the writer, which also invents keys such as "king+paris". The others never change after they
/// were loaded, so that what a search must say about them is known while writes go on.
inline constexpr std::size_t kWriterTakesEvery = 5;

/// Overwrites, inserts and erases its own keys, one after the other; reads each one back; tells the oracle.
class DemoWriter {
 public:
  /// All three must outlive this.
  DemoWriter(VectorRouter& router, const WordVectors& data, Oracle& oracle);

  /// One write and the reads that check it. Returns how long the write took, in seconds. Throws what the router throws, as
  /// when no owner took the write.
  double step();
  const WriteFigures& figures() const noexcept { return figures_; }

 private:
  double write(const std::string& key);
  double erase(const std::string& key);
  std::size_t below(std::size_t bound);
  Vector invent();

  VectorRouter& router_;
  const WordVectors& data_;
  Oracle& oracle_;
  std::mt19937_64 random_{20240607};  // the same demo each time
  std::vector<std::string> keys_;  // the writer's
  std::size_t most_keys_;
  WriteFigures figures_;
};

/// Two threads beside a resize: one that searches, one that writes. A search asks for a word's 10 neighbours; of its answer,
/// the words that nobody writes must be the nearest such words: that is its recall, whatever the writer does meanwhile.
class LiveLoad {
 public:
  enum class Phase : std::uint8_t { kBefore, kDuring, kAfter };

  /// Starts both threads, in kBefore. `queries`: words that nobody writes. All arguments must outlive this.
  LiveLoad(const VectorRouter& router, DemoWriter& writer, const WordVectors& data, const std::vector<std::string>& queries);
  ~LiveLoad();
  LiveLoad(const LiveLoad&) = delete;
  LiveLoad& operator=(const LiveLoad&) = delete;

  /// Searches and writes that begin from now on count for `phase`.
  void enter(Phase phase) noexcept { phase_ = phase; }
  /// Ends both threads. Throws what one of them met.
  void stop();

  /// After stop().
  SearchFigures searches(Phase phase) const;
  WriteFigures writes(Phase phase) const;

 private:
  struct SearchTally {
    SearchFigures figures;
    std::uint64_t hits = 0;
    std::uint64_t wanted = 0;
    std::vector<double> seconds;
  };
  struct WriteTally {
    WriteFigures figures;
    std::vector<double> seconds;
  };

  void search_until_stopped();
  void write_until_stopped(DemoWriter& writer);
  void check(const SearchResult& result, std::size_t query, SearchTally& tally) const;

  const VectorRouter& router_;
  const WordVectors& data_;
  const std::vector<std::string>& queries_;
  std::map<std::string, std::size_t, std::less<>> quiet_row_;  // rows of data_ that nobody writes
  std::vector<std::vector<std::string>> exact_;                // of each query: its nearest quiet words
  std::array<SearchTally, 3> searches_;                        // by Phase; the searcher's until stop()
  std::array<WriteTally, 3> writes_;                           // by Phase; the writing thread's until stop()
  std::atomic<Phase> phase_{Phase::kBefore};
  std::atomic<bool> stopped_{false};
  std::array<std::exception_ptr, 2> errors_;  // one a thread
  std::thread searcher_;
  std::thread writing_;
};

}  // namespace annulus::cli
