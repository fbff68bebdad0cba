// Memory that a thread uses again and again, so that nothing is allocated in the steady state.
#pragma once

#include <memory>
#include <utility>
#include <vector>

namespace annulus {

/// Borrows a T of this thread's until it is destroyed, in the same thread; what is in it is what the last borrower left. Borrowers
/// may nest (a search calls a filter, which searches): each has its own.
template <class T>
class Reused {
 public:
  Reused() {
    auto& idle = idle_ones();
    if (idle.empty()) {
      mine_ = std::make_unique<T>();
      idle.reserve(idle.capacity() + 1);  // so that giving it back cannot throw
    } else {
      mine_ = std::move(idle.back());
      idle.pop_back();
    }
  }
  ~Reused() { idle_ones().push_back(std::move(mine_)); }
  Reused(const Reused&) = delete;
  Reused& operator=(const Reused&) = delete;

  T* operator->() const noexcept { return mine_.get(); }
  T& operator*() const noexcept { return *mine_; }

 private:
  static std::vector<std::unique_ptr<T>>& idle_ones() {
    thread_local std::vector<std::unique_ptr<T>> idle;
    return idle;
  }

  std::unique_ptr<T> mine_;
};

}  // namespace annulus
