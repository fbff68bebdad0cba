// What most programs write when they need a cache: the baseline of `bench cache`.
#pragma once

#include <cstddef>
#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace annulus::bench {

/// A std::list in the order of use and a std::unordered_map into it, under one mutex. Strings are made before the lock is taken.
class LruBaseline {
 public:
  explicit LruBaseline(std::size_t capacity) : capacity_(capacity) { places_.reserve(capacity + 1); }

  std::optional<std::string> get(const std::string& key) {
    std::lock_guard lock(mutex_);
    const auto found = places_.find(key);
    if (found == places_.end()) return std::nullopt;
    entries_.splice(entries_.begin(), entries_, found->second);
    return found->second->second;
  }

  void put(const std::string& key, std::string_view value) {
    std::list<std::pair<std::string, std::string>> entry;
    entry.emplace_front(key, value);
    std::lock_guard lock(mutex_);
    const auto [place, is_new] = places_.try_emplace(key, entry.begin());
    if (!is_new) {
      entries_.splice(entries_.begin(), entries_, place->second);
      place->second->second.swap(entry.front().second);
      return;
    }
    entries_.splice(entries_.begin(), entry);
    if (entries_.size() <= capacity_) return;
    places_.erase(entries_.back().first);
    entries_.pop_back();
  }

 private:
  const std::size_t capacity_;
  std::mutex mutex_;
  std::list<std::pair<std::string, std::string>> entries_;
  std::unordered_map<std::string, std::list<std::pair<std::string, std::string>>::iterator> places_;
};

}  // namespace annulus::bench
