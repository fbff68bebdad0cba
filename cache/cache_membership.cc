#include "cache/cache_membership.h"

#include <algorithm>
#include <utility>

#include "core/error.h"

namespace annulus::internal {
namespace {

constexpr std::size_t kPageKeys = 512;  // of a scan

bool contains(const std::vector<std::shared_ptr<const Layout>>& layouts, const std::shared_ptr<const Layout>& layout) {
  return std::find(layouts.begin(), layouts.end(), layout) != layouts.end();
}

/// Whether a member owns a key in a layout that does not end.
bool keeps(const CacheSnapshot& snapshot, const CacheMember& member, Token token,
           const std::vector<std::shared_ptr<const Layout>>& ending) {
  const auto owns = [&](const CacheLayoutView& view) {
    const auto nodes = view.owners(token);
    return std::any_of(nodes.begin(), nodes.end(),
                       [&](NodeIndex node) { return snapshot.members[view.member_of[node]].get() == &member; });
  };
  return owns(snapshot.serving) || std::any_of(snapshot.upcoming.begin(), snapshot.upcoming.end(), owns) ||
         std::any_of(snapshot.former.begin(), snapshot.former.end(),
                     [&](const CacheLayoutView& view) { return !contains(ending, view.layout) && owns(view); });
}

}  // namespace

CacheMembership::CacheMembership(const DistributedCacheOptions& options, std::size_t most_former)
    : most_former_(most_former),
      start_(options.start),
      domain_(make_cache_snapshot(make_layout(ConsistentHasher(options.ring), options.replicas), {}, nullptr, {})) {}

void CacheMembership::attach(std::shared_ptr<CacheNode> node, double weight, std::string zone) {
  if (node == nullptr) throw Error(ErrorCode::kInvalidArgument, "attach_node of no node: the pointer is null");
  {
    std::lock_guard lock(change_mutex_);
    std::shared_ptr<CacheMember> joins;
    ConsistentHasher ring;
    std::size_t replicas = 0;
    {
      const Pin now(domain_);
      ring = now->serving.layout->ring;
      replicas = now->serving.layout->replicas;
      const CacheMember* member = now->find(node->id());
      if (member != nullptr && (ring.index_of(node->id()) || member->shared_node() != node)) {
        throw Error(ErrorCode::kAlreadyExists,
                    "cache node '" + node->id() + "' " +
                        (ring.index_of(node->id()) ? "is attached already; give the new one another id"
                                                   : "was detached and may still hold entries; call drop_former() first, or attach "
                                                     "the same object again"));
      }
      if (member == nullptr) joins = std::make_shared<CacheMember>(node);
    }
    ring.add_node({node->id(), weight, std::move(zone)});
    change(ring, replicas, joins);
  }
  drop_beyond_the_most();
}

void CacheMembership::detach(std::string_view id) {
  {
    std::lock_guard lock(change_mutex_);
    const auto layout = Pin(domain_)->serving.layout;
    ConsistentHasher ring = layout->ring;
    ring.remove_node(id);
    change(ring, layout->replicas, nullptr);
  }
  drop_beyond_the_most();
}

void CacheMembership::set_weight(std::string_view id, double weight) {
  {
    std::lock_guard lock(change_mutex_);
    const auto layout = Pin(domain_)->serving.layout;
    ConsistentHasher ring = layout->ring;
    ring.set_weight(id, weight);
    change(ring, layout->replicas, nullptr);
  }
  drop_beyond_the_most();
}

void CacheMembership::set_replicas(std::size_t replicas) {
  {
    std::lock_guard lock(change_mutex_);
    const auto layout = Pin(domain_)->serving.layout;
    change(layout->ring, replicas, nullptr);
  }
  drop_beyond_the_most();
}

// The change mutex is held.
void CacheMembership::change(const ConsistentHasher& ring, std::size_t replicas, const std::shared_ptr<CacheMember>& joins) {
  const auto next = make_layout(ring, replicas);
  CacheMembers members;
  Layouts former;
  std::unique_ptr<CacheSnapshot> before;
  {
    const Pin now(domain_);
    members = now->members;
    if (joins != nullptr) members.push_back(joins);
    former = now->former_layouts();
    before = make_cache_snapshot(now->serving.layout, former, next, members);
    if (now->serving.layout->ring.num_nodes() > 0) former.push_back(now->serving.layout);
  }
  auto after = make_cache_snapshot(next, former, nullptr, members);
  auto after_nothing = make_cache_snapshot(next, {}, nullptr, members);
  domain_.publish(std::move(before));
  // What a newcomer holds is believed only if it cannot have missed a write.
  if (joins != nullptr && (start_ == CacheStart::kAnew || written_.load(std::memory_order_seq_cst))) joins->miss();
  domain_.publish(std::move(after));
  // Before the first operation, layouts come and go as nodes are attached. All that runs now works by the new one.
  if (!former.empty() && !used_.load(std::memory_order_seq_cst)) domain_.publish(std::move(after_nothing));
}

void CacheMembership::drop_beyond_the_most() {
  const auto excess = [this] {
    const auto former = Pin(domain_)->former_layouts();
    const std::size_t count = former.size() > most_former_ ? former.size() - most_former_ : 0;
    return Layouts(former.begin(), former.begin() + static_cast<std::ptrdiff_t>(count));
  };
  if (excess().empty()) return;
  std::lock_guard lock(drop_mutex_);
  const Layouts ending = excess();
  if (!ending.empty()) drop(ending, {});
}

std::uint64_t CacheMembership::drop_former(const Layouts* ending, const std::function<void(std::uint64_t)>& progress) {
  std::lock_guard lock(drop_mutex_);
  const Layouts all = Pin(domain_)->former_layouts();  // the pin ends here: a drop waits for all of them
  return drop(ending != nullptr ? *ending : all, progress);
}

// The drop mutex is held. Until the end, writes still reach the owners in `ending` as erases, so that what a scan has passed
// stays clean. Layouts may change meanwhile: what is kept because its node owns it in one of them is that layout's to drop.
std::uint64_t CacheMembership::drop(const Layouts& ending, const std::function<void(std::uint64_t)>& progress) {
  domain_.wait();  // for what may still put or copy entries by one of them
  std::uint64_t dropped = 0;
  CacheMembers members;
  CacheMembers leaving;
  {
    const Pin now(domain_);
    for (const auto& member : now->members) {
      const auto has = [&](const CacheLayoutView& view) { return view.layout->ring.index_of(member->id()).has_value(); };
      const bool stays = has(now->serving) || std::any_of(now->upcoming.begin(), now->upcoming.end(), has) ||
                         std::any_of(now->former.begin(), now->former.end(),
                                     [&](const CacheLayoutView& view) { return !contains(ending, view.layout) && has(view); });
      (stays ? members : leaving).push_back(member);
    }
  }
  for (const auto& member : members) dropped += drop_at(*member, ending, progress);
  for (const auto& member : end(ending, leaving)) {
    std::uint64_t items = 0;
    try {
      items = member->node().stats().items;
      member->node().invalidate();
    } catch (...) {  // Not ours any more. Attached again, it is invalidated before it is used.
      node_failures_.fetch_add(1, std::memory_order_relaxed);
      continue;
    }
    dropped += items;
    if (progress) progress(items);
  }
  return dropped;
}

std::uint64_t CacheMembership::drop_at(CacheMember& member, const Layouts& ending,
                                       const std::function<void(std::uint64_t)>& progress) {
  std::uint64_t sum = 0;
  CacheCursor cursor;
  while (!cursor.done) {
    std::uint64_t dropped = 0;
    if (member.is_behind()) break;  // all that it holds goes before it is used
    if (!scan_and_forget(member, ending, cursor, dropped)) {
      node_failures_.fetch_add(1, std::memory_order_relaxed);
      member.miss();
      break;
    }
    sum += dropped;
    if (progress) progress(dropped);
  }
  return sum;
}

bool CacheMembership::scan_and_forget(CacheMember& member, const Layouts& ending, CacheCursor& cursor,
                                      std::uint64_t& dropped) const {
  try {
    std::vector<std::string> page;
    member.node().scan(cursor, kPageKeys, page);
    std::vector<KeyView> unwanted;
    // Held until they are forgotten: before the member can become an owner, and be given copies, this pin must have ended.
    const Pin now(domain_);
    for (const std::string& key : page) {
      if (!keeps(*now, member, token_of_key(key), ending)) unwanted.emplace_back(key);
    }
    if (!unwanted.empty()) dropped = member.node().forget(unwanted);
    return true;
  } catch (...) {
    return false;
  }
}

/// Takes `ending` out of what writes reach. Returns the members that left with it.
CacheMembers CacheMembership::end(const Layouts& ending, const CacheMembers& not_cleaned) {
  std::lock_guard lock(change_mutex_);
  CacheMembers left;
  std::unique_ptr<CacheSnapshot> next;
  {
    const Pin now(domain_);
    Layouts former = now->former_layouts();
    std::erase_if(former, [&](const auto& layout) { return contains(ending, layout); });
    next = make_cache_snapshot(now->serving.layout, former, nullptr, now->members);
  }
  for (const auto& member : not_cleaned) {
    if (next->find(member->id()) == nullptr) {
      left.push_back(member);
    } else {
      member->miss();  // attached again meanwhile, with what it held from before
    }
  }
  domain_.publish(std::move(next));
  return left;
}

}  // namespace annulus::internal
