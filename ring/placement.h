// What a router reads: which layouts hold now, and which is to hold next.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "ring/hash_ring.h"
#include "ring/replica_table.h"

namespace annulus {

/// A ring, a number of replicas, and the table of both. Immutable once made; make it with make_layout.
struct Layout {
  ConsistentHasher ring;
  std::size_t replicas;
  std::shared_ptr<const ReplicaTable> table;
};

/// Throws Error(kInvalidArgument) if replicas is 0; Error(kUnimplemented) if the ring has several probes, because stores
/// that keep arcs cannot follow it. O(tokens * replicas).
std::shared_ptr<const Layout> make_layout(const ConsistentHasher& ring, std::size_t replicas);

/// One immutable snapshot of who holds what. Published atomically: std::atomic_store on a shared_ptr<const Placement>.
struct Placement {
  std::shared_ptr<const Layout> serving;   ///< reads go here
  std::shared_ptr<const Layout> target;    ///< writes go here too; equal to `serving` when no resize is under way
  std::shared_ptr<const Layout> retiring;  ///< or null: its owners keep getting writes for rows that they still hold
  std::uint64_t epoch = 0;                 ///< counts publications; only grows
};

}  // namespace annulus
