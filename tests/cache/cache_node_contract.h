// The tests that every kind of cache node must pass. A file that includes this instantiates them for its kind.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <ostream>
#include <string>

#include "cache/cache_node.h"

namespace annulus::testing {

/// A time that tests move.
struct ManualTime {
  CacheTime now = CacheTime(std::chrono::hours(500'000));
};

struct CacheNodeKind {
  std::string name;
  /// An empty node of this kind, with room for some thousand small entries, which takes its time from `time`.
  std::function<std::unique_ptr<CacheNode>(std::shared_ptr<ManualTime> time)> make;
};

inline void PrintTo(const CacheNodeKind& kind, std::ostream* out) { *out << kind.name; }

inline std::string name_of_kind(const ::testing::TestParamInfo<CacheNodeKind>& info) { return info.param.name; }

class CacheNodeContract : public ::testing::TestWithParam<CacheNodeKind> {
 protected:
  CacheOutcome put(KeyView key, std::string_view value, Version version, CacheTime expires = kNeverExpires) {
    return node->write({.key = key, .value = value, .version = version, .expires = expires});
  }
  CacheOutcome erase(KeyView key, Version version) {
    return node->write({.key = key,
                        .value = {},
                        .version = version,
                        .expires = time->now + std::chrono::minutes(10),
                        .kind = CacheWriteKind::kErase});
  }
  CacheOutcome copy(KeyView key, std::string_view value, Version version, std::uint64_t generation) {
    return node->write({.key = key, .value = value, .version = version}, generation);
  }
  /// The value, or "-" where there is none.
  std::string value_of(KeyView key) {
    const auto entry = node->get(key);
    return entry ? entry->value : "-";
  }

  std::shared_ptr<ManualTime> time = std::make_shared<ManualTime>();
  std::unique_ptr<CacheNode> node = GetParam().make(time);
};

}  // namespace annulus::testing
