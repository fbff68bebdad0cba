// The account of a move: the same for vectors, cache entries and artifacts.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ring/resize_stages.h"

namespace annulus {

enum class ResizeOutcome : std::uint8_t {
  kCompleted,    ///< the new ring serves, and nobody holds what it does not own
  kNothingToDo,  ///< the declared ring serves already
  kAborted,      ///< stopped on request: the report's message says how things stand
  kBlocked,      ///< a node is missing: `message` says which. Execute again to go on, or abort
};

std::string_view to_string(ResizeOutcome outcome) noexcept;

/// What one node took and gave.
struct NodeFlow {
  std::string id;
  std::uint64_t copied_in = 0;
  std::uint64_t copied_out = 0;
  std::uint64_t dropped = 0;
};

/// What was to move, and what did. Counts are of (key, node) pairs with a live item unless said otherwise.
struct MoveReport {
  ResizeOutcome outcome = ResizeOutcome::kNothingToDo;
  ResizeStage stage = ResizeStage::kNone;  ///< where it stands: kNone when it is over
  std::string message;                     ///< unless it completed: why, and what to do
  std::uint64_t keys = 0;                  ///< live keys when it began
  std::uint64_t lower_bound = 0;           ///< pairs that any executor must copy: counted key by key with both rings' own walks
  std::uint64_t moved = 0;                 ///< pairs copied, recopied ones included
  std::uint64_t already_there = 0;         ///< items which live writes, or an earlier run, had brought already
  std::uint64_t verified = 0;              ///< pairs found at least as new at the target as at the source
  std::uint64_t lost = 0;                  ///< items that the new owners lack; their old copies are kept. Zero
  std::uint64_t dropped = 0;
  std::uint64_t bytes = 0;          ///< sent
  double moved_fraction = 0;        ///< moved / (keys x R), the new R
  double lower_bound_fraction = 0;  ///< lower_bound / (keys x R)
  double seconds = 0;
  std::vector<NodeFlow> nodes;        ///< sorted by id
  std::vector<std::string> warnings;  ///< of the plan, and of nodes that could not be cleaned
};

}  // namespace annulus
