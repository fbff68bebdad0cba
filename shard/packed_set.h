// A sorted set that takes hardly more memory than its elements.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>
#include <vector>

namespace annulus {

/// Elements in order, in leaves of kMost at most that have room for few more than they hold, and a directory of the leaves' first
/// elements. A b-tree whose nodes are between half full and full takes 1.5 to 2 times the memory of its elements; this takes 1.05
/// times. Insert and erase are O(log n + kMost); one insert in kMost / 2 splits a leaf, and moves the directory's entries behind
/// it: 24 bytes for some 400 elements.
///
/// `Less` compares elements with each other and with what is looked for. Not thread-safe; changes invalidate iterators.
template <class T, class Less>
class PackedSet {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  class Iterator {
   public:
    const T& operator*() const noexcept { return set_->leaves_[leaf_].elements[at_]; }
    const T* operator->() const noexcept { return &**this; }
    Iterator& operator++() noexcept {
      if (++at_ == set_->leaves_[leaf_].size) *this = {set_, leaf_ + 1, 0};
      return *this;
    }
    friend bool operator==(const Iterator&, const Iterator&) = default;

    Iterator() = default;

   private:
    friend class PackedSet;
    Iterator(const PackedSet* set, std::size_t leaf, std::size_t at) noexcept : set_(set), leaf_(leaf), at_(at) {}

    const PackedSet* set_ = nullptr;
    std::size_t leaf_ = 0;
    std::size_t at_ = 0;
  };

  static constexpr std::size_t kMost = 512;

  explicit PackedSet(Less less) : less_(less) {}

  std::size_t size() const noexcept { return size_; }
  Iterator begin() const noexcept { return {this, 0, 0}; }
  Iterator end() const noexcept { return {this, leaves_.size(), 0}; }

  /// The first element that is not less than `probe`, and the first that is greater.
  template <class Probe>
  Iterator lower_bound(const Probe& probe) const {
    return bound(probe, [&](const T* first, const T* last) { return std::lower_bound(first, last, probe, less_); });
  }
  template <class Probe>
  Iterator upper_bound(const Probe& probe) const {
    return bound(probe, [&](const T* first, const T* last) { return std::upper_bound(first, last, probe, less_); });
  }
  template <class Probe>
  Iterator find(const Probe& probe) const {
    const Iterator it = lower_bound(probe);
    return it == end() || less_(probe, *it) ? end() : it;
  }

  /// `element` is not there yet. If it throws, nothing has changed.
  void insert(const T& element) {
    leaves_.reserve_one_more();
    firsts_.reserve_one_more();
    if (leaves_.empty()) {
      leaves_.push_back(Leaf(kRoom));
      firsts_.push_back(element);
      room_ += kRoom;
    }
    std::size_t leaf = leaf_of(element);
    if (leaves_[leaf].size == kMost) {
      split(leaf);
      leaf += less_(element, firsts_[leaf + 1]) ? 0 : 1;
    } else if (leaves_[leaf].size == leaves_[leaf].room) {
      resize(leaves_[leaf], leaves_[leaf].copy(0, leaves_[leaf].size));
    }
    Leaf& into = leaves_[leaf];
    T* const first = into.elements.get();
    T* const at = std::lower_bound(first, first + into.size, element, less_);
    std::copy_backward(at, first + into.size, first + into.size + 1);
    *at = element;
    ++into.size;
    ++size_;
    firsts_[leaf] = first[0];
  }

  /// `element` is there.
  void erase(const T& element) noexcept {
    const std::size_t leaf = leaf_of(element);
    Leaf& from = leaves_[leaf];
    T* const first = from.elements.get();
    T* const at = std::lower_bound(first, first + from.size, element, less_);
    std::copy(at + 1, first + from.size, at);
    --from.size;
    --size_;
    if (from.size == 0) return forget(leaf);
    firsts_[leaf] = first[0];
    if (from.size >= kMost / 4) {
      if (from.room >= from.size + 3 * kRoom) give_back_room(from);
      return;
    }
    if (leaf + 1 < leaves_.size() && from.size + leaves_[leaf + 1].size <= kMost / 2) {
      merge(leaf);
    } else if (leaf != 0 && from.size + leaves_[leaf - 1].size <= kMost / 2) {
      merge(leaf - 1);
    } else if (from.room >= from.size + 3 * kRoom) {
      give_back_room(from);
    }
  }

  std::size_t memory_bytes() const noexcept {
    constexpr std::size_t kAllocation = 16;
    return room_ * sizeof(T) + leaves_.capacity() * sizeof(Leaf) + leaves_.size() * kAllocation + firsts_.capacity() * sizeof(T);
  }

 private:
  static constexpr std::uint32_t kRoom = 16;  // for as many more than it holds, when a leaf is made

  struct Leaf {
    explicit Leaf(std::size_t for_elements)
        : elements(std::make_unique_for_overwrite<T[]>(for_elements)), room(static_cast<std::uint32_t>(for_elements)) {}

    /// Of its elements from `begin` to `end`, with some room.
    Leaf copy(std::size_t begin, std::size_t end) const {
      Leaf made(std::min(end - begin + kRoom, kMost));
      std::copy(elements.get() + begin, elements.get() + end, made.elements.get());
      made.size = static_cast<std::uint32_t>(end - begin);
      return made;
    }

    std::unique_ptr<T[]> elements;
    std::uint32_t size = 0;
    std::uint32_t room;
  };

  /// A vector that makes room before anything else changes.
  template <class E>
  struct Directory : std::vector<E> {
    void reserve_one_more() {
      if (this->size() == this->capacity()) this->reserve(this->size() + this->size() / 4 + 4);
    }
  };

  template <class Probe>
  std::size_t leaf_of(const Probe& probe) const {
    const auto behind = std::upper_bound(firsts_.begin(), firsts_.end(), probe, less_);
    return behind == firsts_.begin() ? 0 : static_cast<std::size_t>(behind - firsts_.begin()) - 1;
  }

  template <class Probe, class Search>
  Iterator bound(const Probe& probe, const Search& search) const {
    if (leaves_.empty()) return end();
    const std::size_t leaf = leaf_of(probe);
    const T* const first = leaves_[leaf].elements.get();
    const auto at = static_cast<std::size_t>(search(first, first + leaves_[leaf].size) - first);
    return at == leaves_[leaf].size ? Iterator(this, leaf + 1, 0) : Iterator(this, leaf, at);
  }

  void resize(Leaf& leaf, Leaf with) noexcept {
    room_ = room_ + with.room - leaf.room;
    leaf = std::move(with);
  }

  void split(std::size_t leaf) {
    Leaf lower = leaves_[leaf].copy(0, kMost / 2);
    Leaf upper = leaves_[leaf].copy(kMost / 2, kMost);
    resize(leaves_[leaf], std::move(lower));
    room_ += upper.room;
    firsts_.insert(at(firsts_, leaf + 1), upper.elements[0]);
    leaves_.insert(at(leaves_, leaf + 1), std::move(upper));
  }

  // Memory that cannot be had keeps the next two from saving some.
  void give_back_room(Leaf& leaf) noexcept {
    try {
      resize(leaf, leaf.copy(0, leaf.size));
    } catch (const std::bad_alloc&) {
    }
  }

  void merge(std::size_t leaf) noexcept {
    try {
      const Leaf& lower = leaves_[leaf];
      const Leaf& upper = leaves_[leaf + 1];
      Leaf both(std::size_t{lower.size} + upper.size + kRoom);
      T* const behind = std::copy_n(lower.elements.get(), lower.size, both.elements.get());
      std::copy_n(upper.elements.get(), upper.size, behind);
      both.size = lower.size + upper.size;
      resize(leaves_[leaf], std::move(both));
      forget(leaf + 1);
    } catch (const std::bad_alloc&) {
    }
  }

  void forget(std::size_t leaf) noexcept {
    room_ -= leaves_[leaf].room;
    leaves_.erase(at(leaves_, leaf));
    firsts_.erase(at(firsts_, leaf));
  }

  template <class E>
  static auto at(Directory<E>& directory, std::size_t i) noexcept {
    return directory.begin() + static_cast<std::ptrdiff_t>(i);
  }

  Less less_;
  Directory<Leaf> leaves_;  // none is empty
  Directory<T> firsts_;     // of each leaf
  std::size_t size_ = 0;
  std::size_t room_ = 0;  // of all leaves
};

}  // namespace annulus
