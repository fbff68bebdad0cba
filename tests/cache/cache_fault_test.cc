// A scenario in which one call to a node fails: the first, then the second, and so on until it passes without; each time in
// several ways. No get may ever give anything but the newest value or a miss, and no node that may be read hold anything older.
#include <gtest/gtest.h>

#include <functional>

#include "tests/cache/test_cache.h"

namespace annulus {
namespace {

using std::chrono::seconds;
using testing::FaultPlan;
using testing::TestCache;

/// The cache, and what it may answer.
class Checked {
 public:
  explicit Checked(std::shared_ptr<FaultPlan> plan) : test(3, 2, plan) {
    for (int i = 0; i < 24; ++i) keys_.push_back("k" + std::to_string(i));
  }

  void put(std::size_t i, std::optional<CacheTtl> ttl = std::nullopt) {
    const std::string value = next();
    newest_[keys_[i]] = value;
    test.cache.put(keys_[i], value, ttl);
  }
  void put(std::size_t from, std::size_t to) {
    std::vector<CacheItem> items;
    for (std::size_t i = from; i < to; ++i) items.push_back({.key = keys_[i], .value = newest_[keys_[i]] = next()});
    test.cache.put(items);
  }
  void erase(std::size_t i) {
    newest_[keys_[i]] = "-";
    test.cache.erase(keys_[i]);
  }
  void erase(std::size_t from, std::size_t to) {
    std::vector<KeyView> views;
    for (std::size_t i = from; i < to; ++i) {
      newest_[keys_[i]] = "-";
      views.push_back(keys_[i]);
    }
    test.cache.erase(views);
  }
  void compute(std::size_t i) {
    const std::string value = next();
    const std::string got = test.cache.get_or_compute(keys_[i], [&] { return value; });
    if (got == value) newest_[keys_[i]] = value;
    expect(keys_[i], got);
  }
  void get_all() {
    for (const std::string& key : keys_) expect(key, test.get(key));
    const std::vector<KeyView> views(keys_.begin(), keys_.end());
    const auto found = test.cache.get(views);
    for (std::size_t i = 0; i < keys_.size(); ++i) expect(keys_[i], found[i].value_or("-"));
  }
  /// Copies every key from each former owner to the owners now, as a rebalancer does.
  void warm_up() {
    for (const auto& layout : test.cache.former_layouts()) {
      for (const std::string& key : keys_) {
        const KeyView one[] = {key};
        for (const std::string& from : test.cache.placement_with_ring(key, layout->ring)) {
          test.cache.copy(one, from, test.cache.placement(key));
        }
      }
    }
  }
  void check_nodes(const std::string& when) {
    for (const auto& state : test.cache.stats().nodes) {
      if (state.waits_for_invalidation) continue;
      for (const std::string& key : keys_) {
        const std::string held = TestCache::held(test.node(state.id), key);
        EXPECT_TRUE(held == "-" || held == newest_[key]) << held << " of " << key << " at " << state.id << " " << when;
      }
    }
  }

  std::vector<std::function<void()>> scenario() {
    return {
        [this] { put(0, 12); },
        [this] { put(12), put(13), put(14, seconds(5)), put(15); },
        [this] { test.owner("k0").inner().invalidate(); },
        [this] { get_all(); },  // repairs
        [this] { put(0), put(1), erase(2), erase(12); },
        [this] { erase(3, 6); },
        [this] { test.attach("n9"); },
        [this] { put(6), erase(7), compute(8), compute(16); },
        [this] { warm_up(); },
        [this] { get_all(); },
        [this] { test.heal(); },
        [this] { put(8, 14); },
        [this] { test.cache.detach_node("n1"); },
        [this] { put(1), erase(13), put(17, 20); },
        [this] { warm_up(); },
        [this] { test.cache.drop_former(); },
        [this] { put(0), erase(1), put(18, 22), compute(22); },
        [this] { get_all(); },
        [this] { test.heal(); },
        [this] { test.cache.attach_node(test.shared_node("n1")); },
        [this] { put(0), put(19), erase(18); },
        [this] { test.cache.detach_node("n9"); },
        [this] { test.time->now += seconds(6); },
        [this] { put(2), erase(0), put(9, 12); },
        [this] { test.cache.attach_node(test.shared_node("n9")); },  // while it is a former member
        [this] { test.cache.set_replicas(1), put(3), erase(9), test.cache.set_replicas(2); },
        [this] { test.cache.set_weight("n0", 2.5), put(4), erase(10), test.cache.set_weight("n0", 0.5); },
        [this] { put(0, 6), erase(11), compute(5); },  // the oldest layouts have been pushed out
        [this] { warm_up(); },
        [this] { get_all(); },
        [this] { test.heal(); },
        [this] { get_all(); },
        [this] { test.cache.drop_former(); },
        [this] { get_all(); },
    };
  }

  TestCache test;

 private:
  std::string next() { return "v" + std::to_string(++last_); }
  void expect(const std::string& key, const std::string& got) {
    EXPECT_TRUE(got == "-" || got == newest_[key]) << key << " is " << newest_[key] << ", got " << got;
  }

  std::vector<std::string> keys_;
  std::map<std::string, std::string> newest_;  // "-": erased, or never put
  int last_ = 0;
};

struct Fault {
  FaultPlan::When when;
  bool stays_down;
};

class CacheFaults : public ::testing::TestWithParam<Fault> {};

TEST_P(CacheFaults, NoFailureOfACallBringsBackWhatWasOverwritten) {
  std::uint64_t at = 1;
  bool fired = true;
  for (; fired; ++at) {
    const auto plan = std::make_shared<FaultPlan>();
    plan->at = at;
    plan->when = GetParam().when;
    plan->stays_down = GetParam().stays_down;
    Checked checked(plan);
    const auto steps = checked.scenario();
    for (std::size_t i = 0; i < steps.size(); ++i) {
      steps[i]();
      checked.check_nodes("after step " + std::to_string(i) + ", call " + std::to_string(at) + " failing");
      if (HasFailure()) return;
    }
    fired = plan->fired();
    EXPECT_EQ(checked.test.cache.stats().node_failures > 0, fired) << at;
  }
  EXPECT_GT(at, 400u) << "the scenario makes fewer calls than it should";
}

TEST_P(CacheFaults, WithoutAFailureNothingIsLost) {
  Checked checked(std::make_shared<FaultPlan>());
  for (const auto& step : checked.scenario()) step();
  EXPECT_EQ(checked.test.cache.stats().node_failures, 0u);
  for (const char* key : {"k2", "k3", "k4", "k15", "k22"}) EXPECT_NE(checked.test.get(key), "-") << key;
}

std::string name_of(const ::testing::TestParamInfo<Fault>& fault) {
  const char* const when[] = {"Before", "Halfway", "After"};
  return std::string(when[static_cast<int>(fault.param.when)]) + (fault.param.stays_down ? "StayingDown" : "Once");
}

INSTANTIATE_TEST_SUITE_P(All, CacheFaults,
                         ::testing::Values(Fault{FaultPlan::When::kBefore, false}, Fault{FaultPlan::When::kBefore, true},
                                           Fault{FaultPlan::When::kHalfway, false}, Fault{FaultPlan::When::kHalfway, true},
                                           Fault{FaultPlan::When::kAfter, false}, Fault{FaultPlan::When::kAfter, true}),
                         name_of);

}  // namespace
}  // namespace annulus
