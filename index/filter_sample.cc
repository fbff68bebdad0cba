#include "index/filter_sample.h"

#include <algorithm>
#include <chrono>

namespace annulus {
namespace {

// Rows asked about at once while a filter is sampled, and how many accepted ones are enough.
constexpr std::size_t kSampleStep = 32;
constexpr std::size_t kEnoughAccepted = 16;
// Where the filter has a list, no more rows than this part of what is listed: it says how many are accepted at most.
constexpr std::size_t kListedPart = 16;
// Rows in order over which the filter's cost is taken, the least of so many turns, for the clock may be interrupted; fewer rows
// where they take so long that the clock's own cost, and that of waiting for memory, does not matter.
constexpr std::size_t kTimedRows = 48;
constexpr std::size_t kTimedPart = 256;  // of a large index a longer stretch: at its beginning memory has to be waited for
constexpr std::size_t kMostTimedRows = 512;
constexpr std::size_t kFewTimedRows = 12;
constexpr double kLongNs = 500;  // a question, be its memory cold
constexpr std::size_t kTimedTurns = 3;
constexpr std::size_t kTimedApart = 16;  // of those of the sample, which are in no order

using Clock = std::chrono::steady_clock;

double nanoseconds_since(Clock::time_point began) { return std::chrono::duration<double, std::nano>(Clock::now() - began).count(); }

/// What it costs to ask about one row, of rows in order.
double time_filter(const Filter& filter, const RowTable& rows) {
  double least = std::numeric_limits<double>::infinity();
  std::size_t row = rows.rows() / 2;
  std::size_t most = kFewTimedRows;
  for (std::size_t turn = 0; turn < kTimedTurns; ++turn) {
    std::size_t asked = 0;
    const auto began = Clock::now();
    for (; row < rows.rows() && asked < most; ++row) {
      if (!rows.is_live(static_cast<Row>(row))) continue;
      static_cast<void>(filter.accept(rows.id(static_cast<Row>(row))));
      ++asked;
    }
    if (asked == 0) break;
    const double took = nanoseconds_since(began);
    least = std::min(least, took / static_cast<double>(asked));
    if (took < kLongNs * static_cast<double>(asked)) most = std::clamp(rows.rows() / kTimedPart, kTimedRows, kMostTimedRows);
  }
  return least == std::numeric_limits<double>::infinity() ? 0 : least;
}

}  // namespace

void FilterSample::clear() noexcept {
  rows_.clear();
  accepted_.clear();
  count_accepted_ = 0;
  tried_ = 0;
  question_ns_ = std::numeric_limits<double>::infinity();
}

void FilterSample::draw(const Filter& filter, const RowTable& table, std::size_t rows_asked) {
  // multiples of the golden ratio: any first few of them are spread evenly
  constexpr std::uint64_t kGolden = 0x9e3779b97f4a7c15ULL;
  rows_asked = std::min(rows_asked, kMostRows);
  auto began = Clock::now();
  std::size_t timed = 0;
  for (; rows_.size() < rows_asked && tried_ < 4 * kMostRows; ++tried_) {
    const std::uint64_t at = kGolden / 2 + tried_ * kGolden;
    const Row row = static_cast<Row>(((at >> 32) * table.rows()) >> 32);
    if (!table.is_live(row)) continue;
    const bool accepted = filter.accept(table.id(row));
    rows_.push_back(row);
    accepted_.push_back(accepted ? 1 : 0);
    count_accepted_ += accepted ? 1 : 0;
    if (++timed < kTimedApart) continue;
    question_ns_ = std::min(question_ns_, nanoseconds_since(began) / static_cast<double>(timed));
    began = Clock::now();
    timed = 0;
  }
}

FilterFacts sample_filter(const Filter& filter, const RowTable& rows, FilterSample& sample) {
  FilterFacts facts{.listed = filter.listed()};
  sample.clear();
  if (rows.live() == 0) return facts;
  const std::size_t most = facts.listed ? std::max(kSampleStep, *facts.listed / kListedPart) : FilterSample::kMostRows;
  for (std::size_t asked = kSampleStep; asked <= std::min(most, FilterSample::kMostRows) && sample.count_accepted() < kEnoughAccepted;
       asked += kSampleStep) {
    sample.draw(filter, rows, asked);
  }
  facts.selectivity = (static_cast<double>(sample.count_accepted()) + 0.5) / (static_cast<double>(sample.size()) + 1);
  facts.asked = sample.size();
  facts.accept_ns = time_filter(filter, rows);
  const double apart = sample.question_ns();
  facts.apart_ns = std::max(facts.accept_ns, apart == std::numeric_limits<double>::infinity() ? 0 : apart);
  return facts;
}

}  // namespace annulus
