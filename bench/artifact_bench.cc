#include "bench/artifact_bench.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "artifact/artifact_distributor.h"
#include "artifact/directory_artifact_host.h"
#include "core/error.h"
#include "core/posix_file.h"

namespace annulus::bench {
namespace {

constexpr const char* kName = "bench/blob";

/// What a child process did.
struct Run {
  double seconds = 0.0;
  std::uint64_t peak_bytes = 0;    ///< resident at its peak
  std::uint64_t growth_bytes = 0;  ///< beyond what was resident when it started to work
};

std::uint64_t peak_bytes_now() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
}

/// Runs `work` in a process of its own, so that its peak of memory is its own. Throws Error(kInternal) with what it threw.
Run in_child(const std::function<void()>& work) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw_system_error("cannot make", "a pipe", errno);
  const FileDescriptor reading(ends[0]);
  FileDescriptor writing(ends[1]);
  const pid_t child = ::fork();
  if (child < 0) throw_system_error("cannot start", "a process", errno);
  if (child == 0) {
    std::string failure;
    Run run;
    try {
      // A process starts with the peak of the one that it comes from; this begins anew.
      std::ofstream("/proc/self/clear_refs") << "5";
      const std::uint64_t before = peak_bytes_now();
      const auto start = std::chrono::steady_clock::now();
      work();
      run.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      run.peak_bytes = peak_bytes_now();
      run.growth_bytes = run.peak_bytes - std::min(before, run.peak_bytes);
    } catch (const std::exception& error) {
      failure = error.what();
    }
    (void)!::write(writing.get(), &run, sizeof(run));
    (void)!::write(writing.get(), failure.data(), std::min<std::size_t>(failure.size(), 2000));
    ::_exit(failure.empty() ? 0 : 1);
  }
  writing.close();
  Run run;
  std::string failure(2000, '\0');
  std::size_t got = 0;
  std::string answer;
  char buffer[512];
  for (ssize_t n = 0; (n = ::read(reading.get(), buffer, sizeof(buffer))) != 0;) {
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) break;
    answer.append(buffer, static_cast<std::size_t>(n));
    got += static_cast<std::size_t>(n);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (got < sizeof(run) || !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    throw Error(ErrorCode::kInternal,
                "a process of the benchmark failed: " + (got > sizeof(run) ? answer.substr(sizeof(run)) : "it was killed"));
  }
  std::memcpy(&run, answer.data(), sizeof(run));
  return run;
}

/// Runs a program with its output thrown away.
void run_program(const std::vector<std::string>& command) {
  const pid_t child = ::fork();
  if (child < 0) throw_system_error("cannot start", command[0], errno);
  if (child == 0) {
    std::vector<char*> arguments;
    for (const std::string& argument : command) arguments.push_back(const_cast<char*>(argument.c_str()));
    arguments.push_back(nullptr);
    const int nothing = ::open("/dev/null", O_WRONLY);
    ::dup2(nothing, STDOUT_FILENO);
    ::execvp(arguments[0], arguments.data());
    ::_exit(127);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
    throw Error(ErrorCode::kInternal, command[0] + " failed; is it installed, and is there room?");
}

void sync(const std::filesystem::path& path) {
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.is_open()) throw_system_error("cannot open", path, errno);
  sync_file(file.get(), path);
}

struct Method {
  std::string name;
  std::string baseline;           ///< the method that it is compared with; empty: none
  std::function<void()> prepare;  ///< not timed
  std::function<void()> work;
  std::vector<Run> runs = {};
};

double median_of(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

class ArtifactBench {
 public:
  explicit ArtifactBench(const ArtifactBenchOptions& options) : options_(options) {
    if (options.mib == 0 || options.replicas == 0 || options.repetitions == 0) {
      throw Error(ErrorCode::kInvalidArgument, "mib, replicas and repetitions of an artifact benchmark must be at least 1");
    }
    const auto parent = options.folder.empty() ? std::filesystem::temp_directory_path() : options.folder;
    std::string folder = (parent / "annulus-bench-XXXXXX").string();
    if (::mkdtemp(folder.data()) == nullptr) throw_system_error("cannot make a folder in", parent, errno);
    folder_ = folder;
    try {
      write_blob();
      for (std::size_t i = 0; i < options.replicas; ++i) DirectoryArtifactHost::create(host_folder(i), "host-" + std::to_string(i));
    } catch (...) {
      std::filesystem::remove_all(folder_);
      throw;
    }
  }
  ~ArtifactBench() {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  ArtifactBench(const ArtifactBench&) = delete;
  ArtifactBench& operator=(const ArtifactBench&) = delete;

  Json run() {
    add_methods();
    for (std::size_t i = 0; i < options_.repetitions; ++i) {
      for (Method& method : methods_) {
        method.prepare();
        settle();
        method.runs.push_back(in_child(method.work));
      }
    }
    return rows();
  }

 private:
  std::filesystem::path host_folder(std::size_t i) const { return folder_ / ("host-" + std::to_string(i)); }
  std::filesystem::path blob() const { return folder_ / "blob"; }
  std::filesystem::path copy() const { return folder_ / "copy"; }

  void write_blob() {
    std::ofstream file(blob(), std::ios::binary);
    std::mt19937_64 random(1);
    std::vector<std::uint64_t> words((std::size_t{1} << 20) / sizeof(std::uint64_t));
    for (std::size_t i = 0; i < options_.mib; ++i) {
      for (std::uint64_t& word : words) word = random();
      file.write(reinterpret_cast<const char*>(words.data()), std::streamsize{1} << 20);
    }
    file.close();
    if (!file)
      throw Error(ErrorCode::kResourceExhausted, "cannot write " + blob().string() + "; is the disk full? --folder names another");
  }

  /// The same start for each method: what others wrote is on the disk, and as much memory as a copy takes has just been used and
  /// freed (a virtual machine gets memory that it uses for the first time, or again after a while, from its host, which can take
  /// longer than the copy).
  void settle() const {
    const std::filesystem::path scratch = folder_ / "scratch";
    std::filesystem::copy_file(blob(), scratch);
    std::filesystem::remove(scratch);
    ::sync();
  }

  template <class Call>
  void with_store(const Call& call) const {
    ArtifactDistributor store({.replicas = options_.replicas});
    for (std::size_t i = 0; i < options_.replicas; ++i) store.attach_node(std::make_shared<DirectoryArtifactHost>(host_folder(i)));
    call(store);
  }

  void add_methods() {
    const auto no_copy = [this] { std::filesystem::remove(copy()); };
    const auto no_artifact = [this] {
      for (std::size_t i = 0; i < options_.replicas; ++i) std::filesystem::remove_all(host_folder(i) / "artifacts" / "bench");
    };
    const auto cp = [this] { run_program({"cp", "--reflink=never", blob(), copy()}); };
    methods_.push_back({"cp+sha256sum", "", no_copy, [=, this] {
                          cp();
                          run_program({"sha256sum", copy()});
                        }});
    methods_.push_back({"cp+fsync+sha256sum", "", no_copy, [=, this] {
                          cp();
                          sync(copy());
                          run_program({"sha256sum", copy()});
                        }});
    methods_.push_back({"put_file", "cp+sha256sum", no_artifact, [this] {
                          with_store([this](ArtifactDistributor& store) {
                            const auto report = store.put_file(kName, blob());
                            if (!report.missed.empty()) throw Error(ErrorCode::kInternal, report.missed[0].message);
                          });
                        }});
    methods_.push_back({"get_file", "cp+sha256sum", no_copy,
                        [this] { with_store([this](ArtifactDistributor& store) { store.get_file(kName, copy()); }); }});
    methods_.push_back({"get", "sha256sum", [] {},
                        [this] {
                          with_store([](ArtifactDistributor& store) {
                            std::uint64_t bytes = 0;
                            store.get(kName, [&](std::span<const std::byte> chunk) { bytes += chunk.size(); });
                          });
                        }});
    methods_.push_back({"sha256sum", "", [] {}, [this] { run_program({"sha256sum", blob()}); }});
  }

  double median_seconds(const std::string& name) const {
    const auto method = std::ranges::find(methods_, name, &Method::name);
    std::vector<double> seconds;
    for (const Run& run : method->runs) seconds.push_back(run.seconds);
    return median_of(std::move(seconds));
  }

  Json rows() const {
    Json rows = Json::array();
    for (const Method& method : methods_) {
      std::vector<double> seconds;
      std::uint64_t peak = 0;
      std::uint64_t growth = 0;
      for (const Run& run : method.runs) {
        seconds.push_back(run.seconds);
        peak = std::max(peak, run.peak_bytes);
        growth = std::max(growth, run.growth_bytes);
      }
      const double median = median_of(seconds);
      Json row{{"method", method.name},
               {"mib", options_.mib},
               {"seconds", median},
               {"seconds_range", {*std::ranges::min_element(seconds), *std::ranges::max_element(seconds)}},
               {"mib_per_second", static_cast<double>(options_.mib) / median}};
      if (!method.baseline.empty()) {
        row["replicas"] = options_.replicas;
        row["baseline"] = method.baseline;
        row["ratio_to_baseline"] = median_seconds(method.baseline) / median;
        if (method.baseline == "cp+sha256sum") row["ratio_to_synced"] = median_seconds("cp+fsync+sha256sum") / median;
        row["peak_bytes"] = peak;
        row["growth_bytes"] = growth;
      }
      rows.push_back(std::move(row));
    }
    return rows;
  }

  ArtifactBenchOptions options_;
  std::filesystem::path folder_;
  std::vector<Method> methods_;
};

}  // namespace

Json artifact_bench(const ArtifactBenchOptions& options) { return ArtifactBench(options).run(); }

}  // namespace annulus::bench
