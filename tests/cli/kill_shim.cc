// Preloaded into the program: it kills itself with SIGKILL before its n-th call that changes names on a disk, n being
// ANNULUS_TEST_KILL_AT (from 1). So a test sees every state that a crash can leave behind.
#include <dlfcn.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

#include <atomic>

namespace {

void step() {
  static const char* const at = getenv("ANNULUS_TEST_KILL_AT");
  static std::atomic<long> calls{0};
  if (at != nullptr && ++calls == atol(at)) kill(getpid(), SIGKILL);
}

template <typename Function>
Function* next(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

}  // namespace

extern "C" {

int rename(const char* from, const char* to) noexcept {
  step();
  return next<int(const char*, const char*)>("rename")(from, to);
}
int renameat(int from_folder, const char* from, int to_folder, const char* to) noexcept {
  step();
  return next<int(int, const char*, int, const char*)>("renameat")(from_folder, from, to_folder, to);
}
int unlink(const char* path) noexcept {
  step();
  return next<int(const char*)>("unlink")(path);
}
int unlinkat(int folder, const char* path, int flags) noexcept {
  step();
  return next<int(int, const char*, int)>("unlinkat")(folder, path, flags);
}
int mkdir(const char* path, mode_t mode) noexcept {
  step();
  return next<int(const char*, mode_t)>("mkdir")(path, mode);
}
int mkdirat(int folder, const char* path, mode_t mode) noexcept {
  step();
  return next<int(int, const char*, mode_t)>("mkdirat")(folder, path, mode);
}

}  // extern "C"
