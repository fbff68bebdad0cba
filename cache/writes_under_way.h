// Private to cache/: whether a key may be in the middle of a write.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "ring/token.h"

namespace annulus::internal {

/// Counts the writes under way, by a part of the key's token. Who copies an entry between nodes asks before it reads the source:
/// a write that has been to the target, and not yet to the source, could have been lost at the target since (by a restart, or an
/// invalidation) without the copy's generation telling.
class WritesUnderWay {
 public:
  class Guard {
   public:
    Guard(WritesUnderWay& writes, Token token) noexcept : count_(writes.count_of(token)) {
      count_.fetch_add(1, std::memory_order_seq_cst);
    }
    ~Guard() { count_.fetch_sub(1, std::memory_order_seq_cst); }
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;

   private:
    std::atomic<std::uint32_t>& count_;
  };

  /// The same for many; the tokens outlive it.
  class BatchGuard {
   public:
    BatchGuard(WritesUnderWay& writes, std::span<const Token> tokens) noexcept : writes_(writes), tokens_(tokens) {
      for (const Token token : tokens_) writes_.count_of(token).fetch_add(1, std::memory_order_seq_cst);
    }
    ~BatchGuard() {
      for (const Token token : tokens_) writes_.count_of(token).fetch_sub(1, std::memory_order_seq_cst);
    }
    BatchGuard(const BatchGuard&) = delete;
    BatchGuard& operator=(const BatchGuard&) = delete;

   private:
    WritesUnderWay& writes_;
    std::span<const Token> tokens_;
  };

  bool may_include(Token token) noexcept { return count_of(token).load(std::memory_order_seq_cst) != 0; }

 private:
  static constexpr std::size_t kParts = 4096;
  std::atomic<std::uint32_t>& count_of(Token token) noexcept { return counts_[token % kParts]; }

  std::array<std::atomic<std::uint32_t>, kParts> counts_{};
};

}  // namespace annulus::internal
