// One Redis server of three is killed at every step of a scenario in turn, and comes back in every way that it can.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <filesystem>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "cache/distributed_cache.h"
#include "cache/redis_cache_node.h"
#include "tests/cache/redis_test.h"

namespace annulus::testing {
namespace {

constexpr std::size_t kServers = 3;
constexpr std::array<const char*, kServers> kIds{"a", "b", "c"};  // c joins in the course of the scenario

enum class Return {
  kAtOnce,        ///< empty, before the step goes on
  kLater,         ///< empty, kLaterSteps steps on
  kAtEnd,         ///< empty, when the scenario has ended
  kWithSnapshot,  ///< at once, with what was true when the scenario had begun
};
constexpr int kLaterSteps = 9;

struct Way {
  std::size_t victim;
  Return comes_back;

  std::string name() const {
    static const std::map<Return, std::string> returns{{Return::kAtOnce, "AtOnce"},
                                                       {Return::kLater, "Later"},
                                                       {Return::kAtEnd, "AtTheEnd"},
                                                       {Return::kWithSnapshot, "WithASnapshot"}};
    return std::string("Server_") + kIds[victim] + "_Returns" + returns.at(comes_back);
  }
};

void PrintTo(const Way& way, std::ostream* out) { *out << way.name(); }

/// Counts the steps of all nodes at which it makes a difference to be killed, and kills the victim before one of them: before
/// a connection, before commands are sent, and before each of the replies is received.
class Killer {
 public:
  Killer(RedisServer& victim, Return comes_back) : victim_(victim), comes_back_(comes_back) {}

  void arm(int step) {
    const std::lock_guard lock(mutex_);
    steps_ = 0;
    kill_at_ = step;
  }

  void step(std::string_view name) {
    if (name != "connect" && name != "send" && name != "receive") return;
    const std::lock_guard lock(mutex_);
    if (kill_at_ == 0) return;
    ++steps_;
    if (steps_ == kill_at_) {
      victim_.kill();
      if (comes_back_ == Return::kAtOnce || comes_back_ == Return::kWithSnapshot) bring_back();
    }
    if (comes_back_ == Return::kLater && steps_ == kill_at_ + kLaterSteps) bring_back();
  }

  /// Returns whether there was a step to kill it at.
  bool finish() {
    const std::lock_guard lock(mutex_);
    if (!victim_.running()) bring_back();
    return steps_ >= std::exchange(kill_at_, 0);
  }

 private:
  void bring_back() {
    if (comes_back_ != Return::kWithSnapshot) std::filesystem::remove(victim_.folder() / "dump.rdb");
    victim_.restart();
  }

  RedisServer& victim_;
  const Return comes_back_;
  std::mutex mutex_;
  int steps_ = 0;
  int kill_at_ = 0;
};

/// A cache over the servers, and what is true of it.
class Scenario {
 public:
  /// `faultless`: nothing will be killed, so that nothing may be missed either.
  Scenario(std::array<RedisServer, kServers>& servers, Killer& killer, int number, bool faultless = false)
      : servers_(servers),
        killer_(killer),
        prefix_("sweep" + std::to_string(number)),
        faultless_(faultless),
        cache_({.replicas = 2}) {
    for (std::size_t i = 0; i < kServers; ++i) {
      options_[i] = options_for(servers[i]);
      options_[i].prefix = prefix_;
      options_[i].on_step = [this](std::string_view step) { killer_.step(step); };
      nodes_[i] = std::make_shared<RedisCacheNode>(kIds[i], options_[i]);
    }
    cache_.attach_node(nodes_[0]);
    cache_.attach_node(nodes_[1]);
    choose_keys();
  }

  void run(bool snapshots) {
    put(0, "1");
    put_all({1, 2, 3}, "1");
    if (snapshots) save_all();
    put(0, "2");
    erase(1);
    put_all({2, 3}, "2");
    look();

    lose(0);  // the first read tells the node, the second one repairs
    get(0);
    get(0);
    look();
    lose(0);
    look();
    look();
    put(0, "3");
    get(0);

    cache_.attach_node(nodes_[2]);
    put(2, "3");
    const std::vector<KeyView> keys(keys_.begin(), keys_.end());
    const std::vector<std::string> to{"c"};
    copied_ += cache_.copy(keys, "a", to).copied;
    erase(3);
    copied_ += cache_.copy(keys, "b", to).copied;
    look();
    put(1, "4");
    cache_.drop_former();
    erase(0);
    look();
  }

  std::uint64_t repairs() const { return cache_.stats().repairs; }
  std::size_t copied() const { return copied_; }

  /// All servers are up.
  void check() {
    for (int round = 0; round < 2; ++round) look();
    // Nor does any node that is read hold anything older, owner or not.
    for (const auto& state : cache_.stats().nodes) {
      if (state.waits_for_invalidation) continue;
      for (std::size_t i = 0; i < keys_.size(); ++i) {
        const std::optional<CacheEntry> entry = cache_.node(state.id)->get(keys_[i]);
        if (entry) expect_true_of(i, entry->value, "node " + state.id);
      }
    }
    for (std::size_t i = 0; i < keys_.size(); ++i) {
      std::size_t taken = 0;
      for (int attempt = 0; attempt < 3 && taken < 2; ++attempt) taken = put(i, "last" + std::to_string(attempt));
      EXPECT_EQ(taken, 2U) << "key " << i << " finds no place, though all servers are up";
      EXPECT_EQ(cache_.get(keys_[i]), truth_[i]);
    }
  }

 private:
  /// Four keys of which at least two gain c as an owner, the first one of them.
  void choose_keys() {
    ConsistentHasher later = cache_.ring().clone();
    later.add_node({"c", 1.0, ""});
    for (int i = 0; keys_.size() < 4; ++i) {
      const std::string key = "key" + std::to_string(i);
      const std::vector<std::string> owners = cache_.placement_with_ring(key, later);
      if (std::ranges::count(owners, "c") == (keys_.size() == 3 ? 0 : 1)) keys_.push_back(key);
    }
    truth_.resize(keys_.size());
  }

  std::size_t put(std::size_t i, const std::string& value) {
    truth_[i] = value;
    return cache_.put(keys_[i], value);
  }
  void put_all(std::initializer_list<std::size_t> which, const std::string& value) {
    std::vector<CacheItem> items;
    for (const std::size_t i : which) {
      items.push_back({.key = keys_[i], .value = value});
      truth_[i] = value;
    }
    cache_.put(items);
  }
  void erase(std::size_t i) {
    truth_[i].reset();
    cache_.erase(keys_[i]);
  }

  void get(std::size_t i) { expect_true_of(i, cache_.get(keys_[i]), "get"); }
  void look() {
    const std::vector<KeyView> keys(keys_.begin(), keys_.end());
    const auto values = cache_.get(keys);
    for (std::size_t i = 0; i < keys.size(); ++i) expect_true_of(i, values[i], "batch");
  }

  void expect_true_of(std::size_t i, const std::optional<std::string>& value, const std::string& where) const {
    EXPECT_TRUE((!value && !faultless_) || value == truth_[i])
        << "key " << i << " by " << where << " is " << value.value_or("missed");
  }

  /// The first owner of the key loses all that it holds, as if another process had invalidated it.
  void lose(std::size_t i) {
    const std::string owner = cache_.placement(keys_[i])[0];
    RedisCacheOptions options = options_[static_cast<std::size_t>(owner[0] - 'a')];
    options.on_step = {};
    try {
      RedisCacheNode(owner, options).invalidate();
    } catch (const Error&) {  // it is down
    }
  }

  void save_all() {
    for (const RedisServer& server : servers_) {
      if (server.running()) PlainClient{server}({"SAVE"});
    }
  }

  std::array<RedisServer, kServers>& servers_;
  Killer& killer_;
  const std::string prefix_;
  const bool faultless_;
  std::array<RedisCacheOptions, kServers> options_;
  std::array<std::shared_ptr<RedisCacheNode>, kServers> nodes_;
  DistributedCache cache_;
  std::vector<std::string> keys_;
  std::vector<std::optional<std::string>> truth_;  // the newest acknowledged write
  std::size_t copied_ = 0;
};

std::array<RedisServer, kServers> start_servers() {
  const RedisServerOptions options{.persistence = Persistence::kSnapshot};
  return {RedisServer(options), RedisServer(options), RedisServer(options)};
}

class RedisFaultSweep : public ::testing::TestWithParam<Way> {};

TEST_P(RedisFaultSweep, NothingOldIsReadWhereverAServerIsKilled) {
  std::array<RedisServer, kServers> servers = start_servers();
  Killer killer(servers[GetParam().victim], GetParam().comes_back);
  const bool snapshots = GetParam().comes_back == Return::kWithSnapshot;
  int step = 1;
  for (bool killed = true; killed && !HasFailure(); ++step) {
    SCOPED_TRACE("killed at step " + std::to_string(step));
    Scenario scenario(servers, killer, step);
    killer.arm(step);
    try {
      scenario.run(snapshots);
      killed = killer.finish();
      scenario.check();
    } catch (const std::exception& error) {
      ADD_FAILURE() << error.what();
    }
  }
  EXPECT_GT(step, 100);
  RecordProperty("steps", step);
}

TEST(RedisFaultSweepScenario, WithoutFaultsNothingIsMissedAndEveryCopyIsMade) {
  std::array<RedisServer, kServers> servers = start_servers();
  Killer killer(servers[0], Return::kAtOnce);
  Scenario scenario(servers, killer, 0, true);
  scenario.run(false);
  scenario.check();
  EXPECT_GE(scenario.repairs(), 2U);
  EXPECT_GE(scenario.copied(), 1U);
}

std::vector<Way> all_ways() {
  std::vector<Way> ways;
  for (std::size_t victim = 0; victim < kServers; ++victim) {
    for (const Return comes_back : {Return::kAtOnce, Return::kLater, Return::kAtEnd, Return::kWithSnapshot}) {
      ways.push_back({victim, comes_back});
    }
  }
  return ways;
}

std::string name_of_way(const ::testing::TestParamInfo<Way>& way) { return way.param.name(); }

INSTANTIATE_TEST_SUITE_P(EveryWay, RedisFaultSweep, ::testing::ValuesIn(all_ways()), name_of_way);

}  // namespace
}  // namespace annulus::testing
