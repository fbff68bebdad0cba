#include "tests/artifact/sweep.h"

namespace annulus::testing {
namespace {

std::string first_owner(TestStore& test, std::string_view name) { return test.store.placement(name).at(0); }
std::string second_owner(TestStore& test, std::string_view name) { return test.store.placement(name).at(1); }

std::filesystem::path file_at(TestStore& test, const std::string& id, std::string_view name, std::string_view suffix) {
  return files_below(test.folder_of(id) / "artifacts" / name, suffix).back();
}

/// A fixed host that owns no replica, and its owners, whatever the object: the ring is the same.
std::string stranger_of(const ArtifactDistributor& store, std::string_view name) {
  const auto owners = store.placement(name);
  for (const std::string& id : sweep_hosts()) {
    if (std::find(owners.begin(), owners.end(), id) == owners.end()) return id;
  }
  return "";
}

}  // namespace

std::vector<Story> stories() {
  std::vector<Story> all;
  const auto put_old = [](TestStore& test) { test.store.put("dir/x", big(1)); };

  all.push_back({"put",
                 [](TestStore&) {},
                 [](ArtifactDistributor& store) { store.put("dir/x", big(1)); },
                 {{"dir/x", std::nullopt}},
                 {{"dir/x", big(1)}}});
  all.push_back({"put of nothing",
                 [](TestStore&) {},
                 [](ArtifactDistributor& store) { store.put("x", Bytes{}); },
                 {{"x", std::nullopt}},
                 {{"x", Bytes{}}}});
  all.push_back({"overwrite",
                 put_old,
                 [](ArtifactDistributor& store) { store.put("dir/x", big(2)); },
                 {{"dir/x", big(1)}},
                 {{"dir/x", big(2)}}});
  all.push_back(
      {"erase", put_old, [](ArtifactDistributor& store) { store.erase("dir/x"); }, {{"dir/x", big(1)}}, {{"dir/x", std::nullopt}}});
  all.push_back({"put after erase",
                 [=](TestStore& test) {
                   put_old(test);
                   test.store.erase("dir/x");
                 },
                 [](ArtifactDistributor& store) { store.put("dir/x", big(2)); },
                 {{"dir/x", std::nullopt}},
                 {{"dir/x", big(2)}}});
  all.push_back({"get heals a damaged replica",
                 [=](TestStore& test) {
                   put_old(test);
                   flip_byte(file_at(test, first_owner(test, "dir/x"), "dir/x", ".blob"), kArtifactChunkBytes + 1);
                 },
                 [](ArtifactDistributor& store) { store.get("dir/x"); },
                 {{"dir/x", big(1)}},
                 {{"dir/x", big(1)}},
                 true});
  all.push_back({"get heals a damaged manifest",
                 [=](TestStore& test) {
                   put_old(test);
                   flip_byte(file_at(test, second_owner(test, "dir/x"), "dir/x", ".manifest"), 50);
                 },
                 [](ArtifactDistributor& store) { store.get("dir/x"); },
                 {{"dir/x", big(1)}},
                 {{"dir/x", big(1)}},
                 true});
  all.push_back({"get heals a missing replica",
                 [=](TestStore& test) {
                   put_old(test);
                   std::filesystem::remove_all(test.folder_of(first_owner(test, "dir/x")) / "artifacts" / "dir");
                 },
                 [](ArtifactDistributor& store) { store.get("dir/x"); },
                 {{"dir/x", big(1)}},
                 {{"dir/x", big(1)}}});
  all.push_back({"copy",
                 put_old,
                 [](ArtifactDistributor& store) { store.copy("dir/x", store.placement("dir/x")[0], stranger_of(store, "dir/x")); },
                 {{"dir/x", big(1)}},
                 {{"dir/x", big(1)}}});
  all.push_back({"drop",
                 [=](TestStore& test) {
                   put_old(test);
                   test.store.copy("dir/x", first_owner(test, "dir/x"), test.stranger_of("dir/x"));
                 },
                 [](ArtifactDistributor& store) { store.drop("dir/x", stranger_of(store, "dir/x"), store.placement("dir/x")); },
                 {{"dir/x", big(1)}},
                 {{"dir/x", big(1)}}});
  all.push_back(
      {"repair",
       [](TestStore& test) {
         test.store.put("dir/x", bytes_of("one"));
         test.store.copy("dir/x", first_owner(test, "dir/x"), test.stranger_of("dir/x"));
         test.store.put("damaged", bytes_of("three"));
         flip_byte(file_at(test, first_owner(test, "damaged"), "damaged", ".blob"), 2);
         test.store.put("erased", bytes_of("gone"));
         test.store.erase("erased");
         test.store.put("missing", bytes_of("four"));
         std::filesystem::remove_all(test.folder_of(second_owner(test, "missing")) / "artifacts" / "missing");
       },
       [](ArtifactDistributor& store) { store.repair(); },
       {{"dir/x", bytes_of("one")}, {"damaged", bytes_of("three")}, {"erased", std::nullopt}, {"missing", bytes_of("four")}},
       {{"dir/x", bytes_of("one")}, {"damaged", bytes_of("three")}, {"erased", std::nullopt}, {"missing", bytes_of("four")}},
       true});
  return all;
}

}  // namespace annulus::testing
