// SPDX-License-Identifier: Apache-2.0
// System calls that Node does not have.
#include <fcntl.h>
#include <malloc.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <string>
#include <thread>

#include "arguments.h"
#include "errors.h"
#include "parts.h"

namespace flametap {

namespace {

// lockFile(fd): false when another process has the lock. It lasts until the
// descriptor is closed, by the kernel at the latest.
Napi::Value LockFile(const Napi::CallbackInfo& info) {
  const int fd = DescriptorNumber(info[0]);
  int result;
  do {
    result = flock(fd, LOCK_EX | LOCK_NB);
  } while (result < 0 && errno == EINTR);
  if (result < 0 && errno != EWOULDBLOCK) throw SystemError(info.Env(), "lock a file", errno);
  return Napi::Boolean::New(info.Env(), result == 0);
}

// linkFile(fd, path): gives an unnamed file (O_TMPFILE) a name, which may not exist.
Napi::Value LinkFile(const Napi::CallbackInfo& info) {
  const std::string self = "/proc/self/fd/" + std::to_string(DescriptorNumber(info[0]));
  const std::string path = Text(info[1], "path");
  // Node's own link() does not follow links.
  if (linkat(AT_FDCWD, self.c_str(), AT_FDCWD, path.c_str(), AT_SYMLINK_FOLLOW))
    throw SystemError(info.Env(), "link " + path, errno);
  return info.Env().Undefined();
}

uint64_t ReadClock(clockid_t clock) {
  timespec now = {};
  clock_gettime(clock, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

// clocks(): [monotonic, real, boot, monotonic again] in nanoseconds: between the two
// readings of the first lies how far apart the others may have been read.
Napi::Value Clocks(const Napi::CallbackInfo& info) {
  Napi::BigUint64Array times = Napi::BigUint64Array::New(info.Env(), 4);
  times[0] = ReadClock(CLOCK_MONOTONIC);
  times[1] = ReadClock(CLOCK_REALTIME);
  times[2] = ReadClock(CLOCK_BOOTTIME);
  times[3] = ReadClock(CLOCK_MONOTONIC);
  return times;
}

// releaseMemory(): gives free memory back to the system. glibc does that by itself
// only at the end of a heap, and a thread that ended leaves holes.
Napi::Value ReleaseMemory(const Napi::CallbackInfo& info) {
#ifdef __GLIBC__
  malloc_trim(0);
#endif
  return info.Env().Undefined();
}

// exitWithin(milliseconds, code): ends the process after that time, whatever its threads are at.
Napi::Value ExitWithin(const Napi::CallbackInfo& info) {
  const std::chrono::duration<double, std::milli> delay(
      WholeNumber(info[0], "milliseconds", 0, INT32_MAX));
  const auto code = static_cast<int>(WholeNumber(info[1], "code", 0, 255));
  std::thread([delay, code] {
    std::this_thread::sleep_for(delay);
    _exit(code);
  }).detach();
  return info.Env().Undefined();
}

}  // namespace

void InitSystem(Napi::Env env, Napi::Object exports) {
  exports.Set("clocks", Napi::Function::New<Clocks>(env, "clocks"));
  exports.Set("exitWithin", Napi::Function::New<ExitWithin>(env, "exitWithin"));
  exports.Set("releaseMemory", Napi::Function::New<ReleaseMemory>(env, "releaseMemory"));
  exports.Set("lockFile", Napi::Function::New<LockFile>(env, "lockFile"));
  exports.Set("linkFile", Napi::Function::New<LinkFile>(env, "linkFile"));
}

}  // namespace flametap
