// SPDX-License-Identifier: Apache-2.0
// What Node's own file functions lack.
#include "files.h"

#include <sys/file.h>

#include <cerrno>

#include "arguments.h"
#include "errors.h"

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

}  // namespace

void InitFiles(Napi::Env env, Napi::Object exports) {
  exports.Set("lockFile", Napi::Function::New<LockFile>(env, "lockFile"));
}

}  // namespace flametap
