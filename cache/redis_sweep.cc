#include "cache/redis_sweep.h"

#include <string_view>

#include "cache/redis_scripts.h"

namespace annulus {

RedisSweep::Step::Step(RedisSweep& sweep, RedisConnection& connection, const RedisGenerationState& state)
    : sweep_(sweep), connection_(connection), lock_(sweep.mutex_, std::try_to_lock) {
  if (!lock_) return;
  if (sweep.record_ != state.record) {
    sweep.record_ = state.record;
    sweep.number_ = state.number;
    sweep.stage_ = Stage::kAsk;
  }
  switch (sweep.stage_) {
    case Stage::kDone: lock_.unlock(); return;
    case Stage::kAsk: connection.append({"GET", sweep.names_.swept()}); return;
    case Stage::kSweep: break;
  }
  connection.begin(7 + sweep.victims_.size());
  connection.add("EVAL");
  connection.add(redis_scripts::kSweep);
  connection.add(std::to_string(2 + sweep.victims_.size()));
  connection.add(sweep.names_.generation());
  connection.add(sweep.names_.swept());
  for (const std::string& victim : sweep.victims_) connection.add(victim);
  connection.add(sweep.record_);
  connection.add(sweep.last_page_ ? std::to_string(sweep.number_) : "");
  if (!sweep.last_page_) {
    connection.append({"SCAN", sweep.cursor_, "MATCH", sweep.names_.all_entries(), "COUNT", std::to_string(kNamesPerStep)});
  }
}

void RedisSweep::Step::receive() {
  if (!lock_) return;
  if (sweep_.stage_ == Stage::kAsk) {
    const RedisReply swept = connection_.receive_value();
    sweep_.stage_ = text_of(*swept) == std::to_string(sweep_.number_) ? Stage::kDone : Stage::kSweep;
    sweep_.cursor_ = "0";
    sweep_.last_page_ = false;
    sweep_.victims_.clear();
    lock_.unlock();
    return;
  }
  const bool dropped = connection_.receive_value()->integer == 1;
  if (sweep_.last_page_) {
    if (dropped) sweep_.stage_ = Stage::kDone;
    lock_.unlock();
    return;
  }
  const RedisReply page = connection_.receive_value();
  if (page->type != REDIS_REPLY_ARRAY || page->elements != 2) connection_.fail_unexpected("SCAN");
  if (dropped) {  // else a new generation has begun: the next step starts anew
    sweep_.cursor_ = text_of(*page->element[0]);
    sweep_.last_page_ = sweep_.cursor_ == "0";
    sweep_.victims_.clear();
    const redisReply& found = *page->element[1];
    for (std::size_t i = 0; i < found.elements; ++i) {
      const std::string_view name = text_of(*found.element[i]);
      const auto generation = sweep_.names_.generation_of(name);
      if (generation && *generation != sweep_.number_) sweep_.victims_.emplace_back(name);
    }
  }
  lock_.unlock();
}

}  // namespace annulus
