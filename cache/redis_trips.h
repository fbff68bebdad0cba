// Batches of any size as round trips of a bounded one.
#pragma once

#include <cstddef>
#include <vector>

#include "cache/redis_connection.h"
#include "cache/redis_generation.h"
#include "cache/redis_sweep.h"

namespace annulus {

/// Items [begin, end) of a batch, which are one command: the server does nothing else meanwhile.
struct RedisPart {
  static constexpr std::size_t kMaxItems = 64;
  static constexpr std::size_t kMaxBytes = std::size_t{1} << 20;

  std::size_t begin = 0;
  std::size_t end = 0;

  std::size_t size() const noexcept { return end - begin; }
};

/// The commands of one round trip.
using RedisTrip = std::vector<RedisPart>;

/// Cuts `count` items into trips of at most so many items and bytes; an item that is larger goes alone. `bytes_of(i)`: of item i.
template <class BytesOf>
std::vector<RedisTrip> cut_into_trips(std::size_t count, std::size_t max_items, std::size_t max_bytes, BytesOf bytes_of) {
  std::vector<RedisTrip> trips;
  std::size_t trip_items = 0;
  std::size_t trip_bytes = 0;
  std::size_t part_bytes = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t bytes = bytes_of(i);
    if (trips.empty() || trip_items == max_items || trip_bytes + bytes > max_bytes) {
      trips.emplace_back();
      trip_items = trip_bytes = 0;
    }
    RedisTrip& trip = trips.back();
    if (trip.empty() || trip.back().size() == RedisPart::kMaxItems || part_bytes + bytes > RedisPart::kMaxBytes) {
      trip.push_back({i, i});
      part_bytes = 0;
    }
    ++trip.back().end;
    ++trip_items;
    trip_bytes += bytes;
    part_bytes += bytes;
  }
  return trips;
}

/// Makes a round trip, and a step of the sweep with it: `append(part)` appends the command of a part, and `take(part, reply)` says
/// whether the reply was one to go by. Returns the parts where it was not.
template <class Append, class Take>
RedisTrip make_trip(RedisConnection& connection, RedisSweep& sweep, const RedisGenerationState& state, const RedisTrip& trip,
                    Append append, Take take) {
  for (const RedisPart& part : trip) append(part);
  RedisSweep::Step step(sweep, connection, state);
  connection.send();
  RedisTrip again;
  for (const RedisPart& part : trip) {
    const RedisReply reply = connection.receive();
    if (!take(part, *reply)) again.push_back(part);
  }
  step.receive();
  return again;
}

}  // namespace annulus
