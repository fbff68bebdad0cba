#include "cache/redis_generation.h"

#include <algorithm>
#include <chrono>
#include <vector>

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

void RedisGeneration::refuse_older_copies() {
  const std::lock_guard lock(mutex_);
  if (!state_) return;
  auto state = std::make_shared<RedisGenerationState>(*state_);
  state->epoch = ++epoch_;
  state_ = std::move(state);
}

std::optional<std::string> RedisGeneration::read_record(RedisConnection& connection) const {
  connection.append({"GET", names_.generation()});
  connection.send();
  const RedisReply reply = connection.receive_value();
  if (reply->type == REDIS_REPLY_NIL) return std::nullopt;
  if (reply->type != REDIS_REPLY_STRING) connection.fail_unexpected("GET");
  return std::string(text_of(*reply));
}

std::string RedisGeneration::replace_record(RedisConnection& connection, const std::optional<std::string>& expected) {
  std::string last = expected.value_or("");
  const std::string next = next_record(expected, connection.run_id());
  while (true) {
    connection.append({"EVAL", redis_scripts::kReplaceRecord, "1", names_.generation(), last, next});
    connection.send();
    const RedisReply reply = connection.receive();
    if (is_out_of_memory(*reply) && !last.empty()) {
      make_room(connection, last);
      last.clear();
      continue;
    }
    if (is_error(*reply)) connection.fail(*reply);
    if (reply->type != REDIS_REPLY_STRING) connection.fail_unexpected("EVAL");
    return std::string(text_of(*reply));
  }
}

// A full server takes no new record. Without any, nobody reads or writes entries any more, so that they can be dropped first.
void RedisGeneration::make_room(RedisConnection& connection, const std::string& record) const {
  connection.append({"EVAL", redis_scripts::kDropRecord, "1", names_.generation(), record});
  connection.send();
  connection.receive_value();
  std::string cursor = "0";
  do {
    connection.append({"SCAN", cursor, "MATCH", names_.all_entries(), "COUNT", "1000"});
    connection.send();
    const RedisReply page = connection.receive_value();
    if (page->type != REDIS_REPLY_ARRAY || page->elements != 2) connection.fail_unexpected("SCAN");
    cursor = text_of(*page->element[0]);
    const redisReply& found = *page->element[1];
    const std::string num_keys = std::to_string(1 + found.elements);
    std::vector<std::string_view> command{"EVAL", redis_scripts::kDropWithoutRecord, num_keys, names_.generation()};
    for (std::size_t i = 0; i < found.elements; ++i) command.push_back(text_of(*found.element[i]));
    connection.append(command);
    connection.send();
    if (connection.receive_value()->integer != 1) return;  // another client has found room
  } while (cursor != "0");
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
  if (state_ && state_->record == record) return state_;
  auto state = std::make_shared<RedisGenerationState>();
  ++epoch_;
  *state = {record, number, names_.entries(number), epoch_, epoch_};
  state_ = std::move(state);
  return state_;
}

}  // namespace annulus
