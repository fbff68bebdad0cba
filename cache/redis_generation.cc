#include "cache/redis_generation.h"

#include <algorithm>
#include <chrono>

#include "cache/redis_scripts.h"

namespace annulus {
namespace {

constexpr int kAttempts = 16;  // others may begin generations meanwhile

}  // namespace

RedisGenerationPtr RedisGeneration::state() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

RedisGenerationPtr RedisGeneration::agree(RedisConnection& connection) {
  const std::lock_guard turn(turn_);
  return agree_in_turn(connection);
}

RedisGenerationPtr RedisGeneration::agree_in_turn(RedisConnection& connection) {
  std::optional<std::string> record = read_record(connection);
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const auto parsed = RedisGenerationRecord::parse(record.value_or(""));
    if (parsed && parsed->run_id == connection.run_id()) return adopt(*record, parsed->generation);
    record = replace_record(connection, record);
  }
  connection.fail_unexpected("EVAL, for a record of the generation that does not change all the time,");
}

RedisGenerationPtr RedisGeneration::begin_new(RedisConnection& connection) {
  const std::lock_guard turn(turn_);
  // Whatever replaces the record that is read here began after this call did.
  const std::string record = replace_record(connection, read_record(connection));
  const auto parsed = RedisGenerationRecord::parse(record);
  if (parsed && parsed->run_id == connection.run_id()) return adopt(record, parsed->generation);
  return agree_in_turn(connection);
}

std::optional<std::string> RedisGeneration::read_record(RedisConnection& connection) const {
  connection.append({"GET", names_.generation()});
  connection.send();
  const RedisReply reply = connection.receive_value();
  if (reply->type == REDIS_REPLY_NIL) return std::nullopt;
  if (reply->type != REDIS_REPLY_STRING) connection.fail_unexpected("GET");
  return std::string(text_of(*reply));
}

std::string RedisGeneration::replace_record(RedisConnection& connection, const std::optional<std::string>& expected) const {
  const std::string next = next_record(expected, connection.run_id());
  connection.append({"EVAL", redis_scripts::kReplaceRecord, "1", names_.generation(), expected.value_or(""), next});
  connection.send();
  const RedisReply reply = connection.receive_value();
  if (reply->type != REDIS_REPLY_STRING) connection.fail_unexpected("EVAL");
  return std::string(text_of(*reply));
}

std::string RedisGeneration::next_record(const std::optional<std::string>& last, const std::string& run_id) const {
  // The time, so that a number is not used twice where the last one has been lost with the record.
  const auto since_epoch = std::chrono::system_clock::now().time_since_epoch();
  auto number = static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(since_epoch).count());
  if (const auto parsed = RedisGenerationRecord::parse(last.value_or(""))) number = std::max(number, parsed->generation + 1);
  if (const RedisGenerationPtr known = state()) number = std::max(number, known->number + 1);
  return RedisGenerationRecord{number, run_id}.text();
}

RedisGenerationPtr RedisGeneration::adopt(const std::string& record, std::uint64_t number) {
  const std::lock_guard lock(mutex_);
  if (!state_ || state_->record != record) {
    state_ = std::make_shared<const RedisGenerationState>(RedisGenerationState{record, number, names_.entries(number)});
  }
  return state_;
}

}  // namespace annulus
