#include "bench/redis_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <fstream>
#include <optional>
#include <sstream>
#include <string_view>
#include <utility>
#include <vector>

#include "core/error.h"

namespace annulus::bench {
namespace {

constexpr std::chrono::microseconds kPollEvery{300};
constexpr std::chrono::seconds kStartWithin{30};
constexpr int kStarts = 20;  // another program may take the port meanwhile

std::string find_program() {
  std::vector<std::string> candidates{"/usr/bin/redis-server"};
  const char* const path = std::getenv("PATH");
  std::istringstream folders(path == nullptr ? "" : path);
  for (std::string folder; std::getline(folders, folder, ':');) candidates.push_back(folder + "/redis-server");
  for (const std::string& candidate : candidates) {
    if (access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return {};
}

class Socket {
 public:
  Socket() : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    if (fd_ < 0) throw Error(ErrorCode::kResourceExhausted, std::string("cannot make a socket: ") + std::strerror(errno));
  }
  ~Socket() { close(fd_); }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  int fd() const noexcept { return fd_; }

 private:
  int fd_;
};

sockaddr_in loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

int free_port() {
  const Socket socket;
  sockaddr_in address = loopback(0);
  socklen_t size = sizeof address;
  if (bind(socket.fd(), reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      getsockname(socket.fd(), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    throw Error(ErrorCode::kResourceExhausted, std::string("no free port on 127.0.0.1: ") + std::strerror(errno));
  }
  return ntohs(address.sin_port);
}

std::filesystem::path make_folder() {
  std::string name = (std::filesystem::temp_directory_path() / "annulus-redis-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) {
    throw Error(ErrorCode::kResourceExhausted, "cannot make a folder like " + name + ": " + std::strerror(errno));
  }
  return name;
}

void write_configuration(const std::filesystem::path& file, const RedisServerOptions& options) {
  std::ofstream out(file);
  out << "bind 127.0.0.1\nsave \"\"\nmaxmemory-policy noeviction\n";
  if (options.maxmemory_bytes != 0) out << "maxmemory " << options.maxmemory_bytes << '\n';
  if (!options.password.empty()) out << "requirepass " << options.password << '\n';
  if (options.persistence == RedisServerOptions::Persistence::kSnapshot) out << "save 3600 1000000000\n";
  if (options.persistence == RedisServerOptions::Persistence::kLog) out << "appendonly yes\nappendfsync always\n";
}

}  // namespace

bool RedisServer::installed() { return !find_program().empty(); }

RedisServer::RedisServer(RedisServerOptions options) : options_(std::move(options)), folder_(make_folder()) {
  write_configuration(folder_ / "redis.conf", options_);
  launcher_ = std::thread([this] {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [&] { return work_ || ending_; });
      if (!work_) return;
      work_();
      work_ = nullptr;
      changed_.notify_all();
    }
  });
  try {
    start();
  } catch (...) {
    const std::exception_ptr failure = std::current_exception();
    {
      const std::lock_guard lock(mutex_);
      ending_ = true;
    }
    changed_.notify_all();
    launcher_.join();
    std::filesystem::remove_all(folder_);
    std::rethrow_exception(failure);
  }
}

RedisServer::~RedisServer() {
  kill();
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  launcher_.join();
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

void RedisServer::run_on_launcher(std::function<void()> work) {
  std::unique_lock lock(mutex_);
  work_ = std::move(work);
  changed_.notify_all();
  changed_.wait(lock, [&] { return !work_; });
}

void RedisServer::kill() { end(SIGKILL); }
void RedisServer::stop() { end(SIGTERM); }

void RedisServer::restart() {
  kill();
  start();
}

void RedisServer::pause() { ::kill(process_, SIGSTOP); }
void RedisServer::resume() { ::kill(process_, SIGCONT); }

void RedisServer::end(int signal) {
  if (!running()) return;
  ::kill(process_, signal);
  while (waitpid(process_, nullptr, 0) < 0 && errno == EINTR) {
  }
  process_ = -1;
}

void RedisServer::start() {
  const bool keeps_port = port_ != 0;
  for (int attempt = 0; attempt < kStarts; ++attempt) {
    if (!keeps_port) port_ = free_port();
    if (try_to_start()) return;
  }
  std::ostringstream log;
  log << std::ifstream(folder_ / "log").rdbuf();
  throw Error(ErrorCode::kUnavailable, "redis-server does not start on port " + std::to_string(port_) + "; its log:\n" + log.str());
}

/// Whether it answers; it has ended otherwise.
bool RedisServer::try_to_start() {
  run_on_launcher([this] { process_ = spawn(); });
  if (process_ < 0)
    throw Error(ErrorCode::kUnavailable, "there is no redis-server in /usr/bin or PATH; scripts/setup.sh installs it");
  const auto deadline = std::chrono::steady_clock::now() + kStartWithin;
  while (std::chrono::steady_clock::now() < deadline) {
    if (waitpid(process_, nullptr, WNOHANG) == process_) {
      process_ = -1;
      return false;
    }
    if (answers()) return true;
    std::this_thread::sleep_for(kPollEvery);
  }
  kill();
  return false;
}

pid_t RedisServer::spawn() const {
  const std::string program = find_program();
  if (program.empty()) return -1;
  const std::string configuration = folder_ / "redis.conf";
  const std::string port = std::to_string(port_);
  const std::string folder = folder_;
  const std::string log = folder_ / "log";
  const char* const arguments[] = {program.c_str(), configuration.c_str(), "--port", port.c_str(),
                                   "--dir",         folder.c_str(),        nullptr};
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child != 0) return child;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(1);
  const int out = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  dup2(out, STDOUT_FILENO);
  dup2(out, STDERR_FILENO);
  execv(program.c_str(), const_cast<char* const*>(arguments));
  _exit(127);
}

bool RedisServer::answers() const {
  const Socket socket;
  const sockaddr_in address = loopback(port_);
  if (connect(socket.fd(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return false;
  std::string out;
  if (!options_.password.empty()) {
    out = "*2\r\n$4\r\nAUTH\r\n$" + std::to_string(options_.password.size()) + "\r\n" + options_.password + "\r\n";
  }
  out += "PING\r\n";
  if (send(socket.fd(), out.data(), out.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(out.size())) return false;
  std::string in;
  const std::size_t lines = options_.password.empty() ? 1 : 2;
  while (static_cast<std::size_t>(std::count(in.begin(), in.end(), '\n')) < lines) {
    char buffer[256];
    const ssize_t received = recv(socket.fd(), buffer, sizeof buffer, 0);
    if (received <= 0) return false;
    in.append(buffer, static_cast<std::size_t>(received));
  }
  return in.ends_with("+PONG\r\n");  // not while it loads what it had persisted
}

}  // namespace annulus::bench
