// An artifact host that fails when it is told to.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "artifact/artifact_host.h"
#include "core/error.h"
#include "tests/sanitized.h"

namespace annulus::testing {

/// Sweeps stop a story at each of its steps. Under sanitizers, where each takes several times as long, at every third.
inline constexpr std::uint64_t kSweepStride = kSanitized ? 3 : 1;

/// What goes wrong, and when.
struct HostFault {
  std::uint64_t after = 0;                                          ///< so many calls still succeed
  std::uint64_t times = std::numeric_limits<std::uint64_t>::max();  ///< then so many fail; those behind succeed again
  bool once_done = false;  ///< the call does its work and throws then, as when an answer is lost on its way
  ErrorCode code = ErrorCode::kUnavailable;
};

/// Passes calls on to another host. All calls count, those of its writers and readers included. Thread-safe.
class FaultyArtifactHost final : public ArtifactHost {
  struct Faults {
    template <class Do>
    auto call(const char* what, Do&& work) {
      HostFault now;
      bool strikes = false;
      {
        std::lock_guard lock(mutex);
        now = fault;
        strikes = armed && calls >= fault.after && struck < fault.times;
        ++calls;
        struck += strikes ? 1 : 0;
      }
      if (strikes && now.once_done) (void)work();
      if (strikes) throw Error(now.code, std::string(what) + " fails, as the test wants");
      return work();
    }

    std::mutex mutex;
    HostFault fault;
    bool armed = false;
    std::uint64_t calls = 0;
    std::uint64_t struck = 0;
    std::function<void()> before_commit;
  };

 public:
  explicit FaultyArtifactHost(std::shared_ptr<ArtifactHost> inner)
      : inner_(std::move(inner)), faults_(std::make_shared<Faults>()) {}

  void set_fault(HostFault fault) {
    std::lock_guard lock(faults_->mutex);
    faults_->fault = fault;
    faults_->armed = true;
    faults_->calls = faults_->struck = 0;
  }
  /// Every call fails from now on.
  void fail() { set_fault({}); }
  void heal() {
    std::lock_guard lock(faults_->mutex);
    faults_->armed = false;
  }
  /// How often the fault struck since it was set.
  std::uint64_t struck() const {
    std::lock_guard lock(faults_->mutex);
    return faults_->struck;
  }
  /// Called before each commit at this host, from whichever thread.
  void before_commit(std::function<void()> call) { faults_->before_commit = std::move(call); }

  const std::string& id() const noexcept override { return inner_->id(); }
  std::vector<ArtifactInfo> versions(std::string_view name) override {
    return faults_->call("versions", [&] { return inner_->versions(name); });
  }
  std::vector<ArtifactInfo> list() override {
    return faults_->call("list", [&] { return inner_->list(); });
  }
  std::unique_ptr<ArtifactWriter> stage(std::string_view name, Version version) override {
    return faults_->call("stage", [&] { return std::make_unique<Writer>(inner_->stage(name, version), faults_); });
  }
  std::unique_ptr<ArtifactReader> open(std::string_view name, Version version) override {
    return faults_->call("open", [&] { return std::make_unique<Reader>(inner_->open(name, version), faults_); });
  }
  void remove(std::string_view name, Version version) override {
    faults_->call("remove", [&] { inner_->remove(name, version); });
  }
  std::uint64_t collect_garbage() override {
    return faults_->call("collect_garbage", [&] { return inner_->collect_garbage(); });
  }

 private:
  class Writer final : public ArtifactWriter {
   public:
    Writer(std::unique_ptr<ArtifactWriter> inner, std::shared_ptr<Faults> faults)
        : inner_(std::move(inner)), faults_(std::move(faults)) {}
    void append(std::span<const std::byte> bytes) override {
      faults_->call("append", [&] { inner_->append(bytes); });
    }
    void seal(const ArtifactManifest& manifest) override {
      faults_->call("seal", [&] { inner_->seal(manifest); });
    }
    void commit() override {
      if (faults_->before_commit) faults_->before_commit();
      faults_->call("commit", [&] { inner_->commit(); });
    }

   private:
    std::unique_ptr<ArtifactWriter> inner_;
    std::shared_ptr<Faults> faults_;
  };

  class Reader final : public ArtifactReader {
   public:
    Reader(std::unique_ptr<ArtifactReader> inner, std::shared_ptr<Faults> faults)
        : inner_(std::move(inner)), faults_(std::move(faults)) {}
    const ArtifactManifest& manifest() const noexcept override { return inner_->manifest(); }
    std::span<const std::byte> read_chunk(std::size_t index, std::span<std::byte> buffer) override {
      return faults_->call("read_chunk", [&] { return inner_->read_chunk(index, buffer); });
    }

   private:
    std::unique_ptr<ArtifactReader> inner_;
    std::shared_ptr<Faults> faults_;
  };

  std::shared_ptr<ArtifactHost> inner_;
  std::shared_ptr<Faults> faults_;
};

}  // namespace annulus::testing
