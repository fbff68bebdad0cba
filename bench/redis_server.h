// A redis-server of one's own: started, killed and restarted by tests and benchmarks.
#pragma once

#include <sys/types.h>

#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

namespace annulus::bench {

struct RedisServerOptions {
  enum class Persistence {
    kNone,
    kSnapshot,  ///< RDB, written when a client says SAVE; read at a start
    kLog,       ///< AOF, written with each command
  };

  std::string password = {};
  Persistence persistence = Persistence::kNone;
  std::uint64_t maxmemory_bytes = 0;  ///< 0: no limit. What would go beyond is refused, not evicted
};

/// A server on a free port of 127.0.0.1, in a temporary folder. It dies with this process, however that ends.
/// Not for several threads at once.
class RedisServer {
 public:
  /// Whether there is a redis-server to start.
  static bool installed();

  /// Starts it, and returns when it answers. Throws Error(kUnavailable) if there is no redis-server, or it does not start.
  explicit RedisServer(RedisServerOptions options = {});
  /// Ends it and removes the folder.
  ~RedisServer();
  RedisServer(const RedisServer&) = delete;
  RedisServer& operator=(const RedisServer&) = delete;

  int port() const noexcept { return port_; }
  bool running() const noexcept { return process_ > 0; }
  const std::filesystem::path& folder() const noexcept { return folder_; }

  void kill();     ///< SIGKILL: nothing is written any more
  void stop();     ///< SIGTERM: a snapshot is written, if the persistence is that
  void restart();  ///< kill(), if it runs, and start on the same port with what was persisted
  void pause();    ///< SIGSTOP: it holds its connections, and does not answer
  void resume();

 private:
  void start();
  bool try_to_start();
  pid_t spawn() const;
  bool answers() const;
  void end(int signal);
  void run_on_launcher(std::function<void()> work);

  const RedisServerOptions options_;
  std::filesystem::path folder_;
  int port_ = 0;
  pid_t process_ = -1;

  // Linux ends the server with the thread that started it: so that is one which lives as long as this object.
  std::mutex mutex_;
  std::condition_variable changed_;
  std::function<void()> work_;
  bool ending_ = false;
  std::thread launcher_;
};

}  // namespace annulus::bench
