#include "cli/demo_load.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <set>
#include <string_view>

namespace annulus::cli {
namespace {

using Clock = std::chrono::steady_clock;

// A write each: enough to meet every stage of a resize, and it leaves the processors to the resize and the searches.
constexpr std::chrono::milliseconds kWriteEvery{2};
constexpr double kInvents = 0.4;
constexpr double kOverwrites = 0.75;  // or invents; else erases
constexpr float kSameComponent = 1e-6F;
constexpr float kSameSimilarity = 1e-4F;

double seconds_since(Clock::time_point started) { return std::chrono::duration<double>(Clock::now() - started).count(); }

double percentile(std::vector<double> values, double fraction) {
  if (values.empty()) return 0;
  const auto at = static_cast<std::size_t>(fraction * static_cast<double>(values.size() - 1) + 0.5);
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(at), values.end());
  return values[at];
}

}  // namespace

WriteFigures& WriteFigures::operator+=(const WriteFigures& other) noexcept {
  inserted += other.inserted;
  overwritten += other.overwritten;
  erased += other.erased;
  stale += other.stale;
  resurrected += other.resurrected;
  return *this;
}

WriteFigures WriteFigures::operator-(const WriteFigures& earlier) const noexcept {
  return {inserted - earlier.inserted, overwritten - earlier.overwritten, erased - earlier.erased, stale - earlier.stale,
          resurrected - earlier.resurrected, 0};
}

DemoWriter::DemoWriter(VectorRouter& router, const WordVectors& data, Oracle& oracle)
    : router_(router), data_(data), oracle_(oracle) {
  for (std::size_t i = kWriterTakesEvery - 1; i < data.words.size(); i += kWriterTakesEvery) keys_.push_back(data.words[i]);
  most_keys_ = 2 * keys_.size();
}

std::size_t DemoWriter::below(std::size_t bound) { return std::uniform_int_distribution<std::size_t>(0, bound - 1)(random_); }

// Between two words, nearer to the first.
Vector DemoWriter::invent() {
  const auto row = [&] { return data_.vectors.row(static_cast<Eigen::Index>(below(data_.words.size()))); };
  const Vector between = 0.6F * row() + 0.4F * row();
  const float length = between.norm();
  return length > 0 ? Vector(between / length) : Vector(data_.vectors.row(0));
}

double DemoWriter::step() {
  const double choice = std::uniform_real_distribution<double>(0, 1)(random_);
  if (choice < kInvents && keys_.size() < most_keys_) {
    keys_.push_back(data_.words[below(data_.words.size())] + "+" + data_.words[below(data_.words.size())]);
    return write(keys_.back());
  }
  const std::string& key = keys_[below(keys_.size())];
  return choice < kOverwrites || !oracle_.holds(key) ? write(key) : erase(key);
}

double DemoWriter::write(const std::string& key) {
  const Vector vector = invent();
  const bool was_live = oracle_.holds(key);
  const Clock::time_point started = Clock::now();
  router_.upsert(key, vector);
  const double seconds = seconds_since(started);
  oracle_.put(key, vector);
  ++(was_live ? figures_.overwritten : figures_.inserted);
  const std::optional<Vector> read = router_.get(key);
  const bool same = read.has_value() && (*read - vector).cwiseAbs().maxCoeff() <= kSameComponent;
  figures_.stale += same ? 0 : 1;
  return seconds;
}

double DemoWriter::erase(const std::string& key) {
  const Vector was = *oracle_.at(key);
  const Clock::time_point started = Clock::now();
  router_.erase(key);
  const double seconds = seconds_since(started);
  oracle_.erase(key);
  ++figures_.erased;
  figures_.stale += router_.contains(key) ? 1 : 0;
  const SearchResult nearest = router_.search(was, 1);
  for (const Neighbor& neighbor : nearest[0]) figures_.resurrected += neighbor.key == key ? 1 : 0;
  return seconds;
}

LiveLoad::LiveLoad(const VectorRouter& router, DemoWriter& writer, const WordVectors& data, const std::vector<std::string>& queries)
    : router_(router), data_(data), queries_(queries) {
  std::vector<std::size_t> rows;
  for (std::size_t i = 0; i < data.words.size(); ++i) {
    if (i % kWriterTakesEvery == kWriterTakesEvery - 1) continue;
    quiet_row_.emplace(data.words[i], i);
    rows.push_back(i);
  }
  const Matrix quiet = data.vectors(rows, Eigen::all);
  std::vector<std::size_t> itself;
  for (const std::string& word : queries) {
    itself.push_back(static_cast<std::size_t>(std::lower_bound(rows.begin(), rows.end(), quiet_row_.at(word)) - rows.begin()));
  }
  for (const auto& nearest : exact_neighbors(quiet(itself, Eigen::all), itself, quiet, kRecallDepth)) {
    exact_.emplace_back();
    for (const std::size_t row : nearest) exact_.back().push_back(data.words[rows[row]]);
  }
  searcher_ = std::thread([this] { search_until_stopped(); });
  writing_ = std::thread([this, &writer] { write_until_stopped(writer); });
}

LiveLoad::~LiveLoad() {
  stopped_ = true;
  if (searcher_.joinable()) searcher_.join();
  if (writing_.joinable()) writing_.join();
}

void LiveLoad::stop() {
  stopped_ = true;
  searcher_.join();
  writing_.join();
  for (const std::exception_ptr& error : errors_) {
    if (error) std::rethrow_exception(error);
  }
}

SearchFigures LiveLoad::searches(Phase phase) const {
  const SearchTally& tally = searches_[static_cast<std::size_t>(phase)];
  SearchFigures figures = tally.figures;
  figures.searches = tally.seconds.size();
  figures.recall_at_10 = tally.wanted > 0 ? static_cast<double>(tally.hits) / static_cast<double>(tally.wanted) : 0;
  figures.p50_seconds = percentile(tally.seconds, 0.5);
  figures.p99_seconds = percentile(tally.seconds, 0.99);
  return figures;
}

WriteFigures LiveLoad::writes(Phase phase) const {
  const WriteTally& tally = writes_[static_cast<std::size_t>(phase)];
  WriteFigures figures = tally.figures;
  figures.p99_seconds = percentile(tally.seconds, 0.99);
  return figures;
}

void LiveLoad::search_until_stopped() {
  try {
    SearchResult result;
    for (std::size_t i = 0; !stopped_; ++i) {
      const std::size_t query = i % queries_.size();
      SearchTally& tally = searches_[static_cast<std::size_t>(phase_.load())];
      const Vector vector = data_.vectors.row(static_cast<Eigen::Index>(quiet_row_.at(queries_[query])));
      const Clock::time_point started = Clock::now();
      router_.search(vector, kRecallDepth + 1, {}, result);
      tally.seconds.push_back(seconds_since(started));
      check(result, query, tally);
    }
  } catch (...) {
    errors_[0] = std::current_exception();
  }
}

void LiveLoad::write_until_stopped(DemoWriter& writer) {
  try {
    Clock::time_point due = Clock::now();
    while (!stopped_) {
      WriteTally& tally = writes_[static_cast<std::size_t>(phase_.load())];
      const WriteFigures so_far = writer.figures();
      tally.seconds.push_back(writer.step());
      tally.figures += writer.figures() - so_far;
      due = std::max(due + kWriteEvery, Clock::now());
      std::this_thread::sleep_until(due);
    }
  } catch (...) {
    errors_[1] = std::current_exception();
  }
}

void LiveLoad::check(const SearchResult& result, std::size_t query, SearchTally& tally) const {
  const std::string& word = queries_[query];
  const auto vector = data_.vectors.row(static_cast<Eigen::Index>(quiet_row_.at(word)));
  if (result.coverage < 1 || result[0].size() != kRecallDepth + 1) ++tally.figures.incomplete;
  std::set<std::string_view> seen;
  std::size_t quiet = 0;
  for (const Neighbor& neighbor : result[0]) {
    if (!seen.insert(neighbor.key).second) ++tally.figures.duplicates;
    const auto row = quiet_row_.find(neighbor.key);
    if (row == quiet_row_.end()) continue;
    const float similarity = vector.dot(data_.vectors.row(static_cast<Eigen::Index>(row->second)));
    if (!(std::abs(similarity - neighbor.distance) <= kSameSimilarity)) ++tally.figures.wrong;
    quiet += neighbor.key != word ? 1 : 0;
  }
  // Had the answer missed a quiet word, one that is farther would be in its place.
  const auto& exact = exact_[query];
  const std::size_t wanted = std::min(quiet, exact.size());
  for (std::size_t i = 0; i < wanted; ++i) tally.hits += seen.contains(exact[i]) ? 1 : 0;
  tally.wanted += wanted;
}

}  // namespace annulus::cli
