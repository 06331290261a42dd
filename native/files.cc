// SPDX-License-Identifier: Apache-2.0
// What Node's own file functions lack.
#include "files.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <string>

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

// linkFile(fd, path): gives an unnamed file (O_TMPFILE) a name, which may not exist.
Napi::Value LinkFile(const Napi::CallbackInfo& info) {
  const std::string self = "/proc/self/fd/" + std::to_string(DescriptorNumber(info[0]));
  const std::string path = Text(info[1], "path");
  // Node's own link() does not follow links.
  if (linkat(AT_FDCWD, self.c_str(), AT_FDCWD, path.c_str(), AT_SYMLINK_FOLLOW))
    throw SystemError(info.Env(), "link " + path, errno);
  return info.Env().Undefined();
}

}  // namespace

void InitFiles(Napi::Env env, Napi::Object exports) {
  exports.Set("lockFile", Napi::Function::New<LockFile>(env, "lockFile"));
  exports.Set("linkFile", Napi::Function::New<LinkFile>(env, "linkFile"));
}

}  // namespace flametap
