#include "cache/single_flight.h"

#include <utility>

#include "core/error.h"

namespace annulus::internal {

SingleFlight::Outcome SingleFlight::run(KeyView key, Token token, const std::function<std::string()>& work) {
  const auto mine = std::make_shared<Flight>(std::this_thread::get_id());
  std::shared_ptr<Flight> flight;
  {
    Part& part = part_of(token);
    std::lock_guard lock(part.mutex);
    flight = part.flights.try_emplace(std::string(key), mine).first->second;
    if (flight == mine) under_way_.fetch_add(1, std::memory_order_seq_cst);
  }
  if (flight == mine) return {lead(key, token, flight, work), false};
  return {join(key, flight), true};
}

std::string SingleFlight::lead(KeyView key, Token token, const std::shared_ptr<Flight>& flight,
                               const std::function<std::string()>& work) {
  const auto land = [&](std::string value, std::exception_ptr failure) noexcept {
    remove(key, token, flight.get());
    std::lock_guard lock(flight->mutex);
    flight->value = std::move(value);
    flight->failure = std::move(failure);
    flight->done.store(true, std::memory_order_release);
    flight->landed.notify_all();
  };
  try {
    std::string value = work();
    std::string copy = value;
    land(std::move(copy), nullptr);
    return value;
  } catch (...) {
    land({}, std::current_exception());
    throw;
  }
}

std::string SingleFlight::join(KeyView key, const std::shared_ptr<Flight>& flight) {
  begin_waiting(key, flight);
  {
    std::unique_lock lock(flight->mutex);
    flight->landed.wait(lock, [&] { return flight->done.load(std::memory_order_acquire); });
  }
  {
    std::lock_guard lock(waits_mutex_);
    waits_for_.erase(std::this_thread::get_id());
  }
  if (flight->failure != nullptr) std::rethrow_exception(flight->failure);
  return flight->value;
}

// Follows who waits for whom: a thread waits for one flight at most, and a flight has one leader.
void SingleFlight::begin_waiting(KeyView key, const std::shared_ptr<Flight>& flight) {
  const std::thread::id self = std::this_thread::get_id();
  std::lock_guard lock(waits_mutex_);
  const Flight* at = flight.get();
  while (!at->done.load(std::memory_order_acquire)) {
    if (at->leader == self) {
      throw Error(
          ErrorCode::kFailedPrecondition,
          "get_or_compute of key '" + display_key(key) +
              "' from within a computation that it waits for: it would wait for ever; compute must not ask for its own key");
    }
    const auto next = waits_for_.find(at->leader);
    if (next == waits_for_.end()) break;
    at = next->second.get();
  }
  waits_for_[self] = flight;
}

void SingleFlight::detach(KeyView key, Token token) noexcept {
  if (under_way_.load(std::memory_order_seq_cst) == 0) return;
  remove(key, token, nullptr);
}

/// Removes the key's flight if it is `flight`, or whichever it is if that is null.
void SingleFlight::remove(KeyView key, Token token, const Flight* flight) noexcept {
  Part& part = part_of(token);
  std::lock_guard lock(part.mutex);
  const auto at = part.flights.find(key);
  if (at == part.flights.end() || (flight != nullptr && at->second.get() != flight)) return;
  part.flights.erase(at);
  under_way_.fetch_sub(1, std::memory_order_seq_cst);
}

}  // namespace annulus::internal
