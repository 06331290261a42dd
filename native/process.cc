// SPDX-License-Identifier: Apache-2.0
// What needs a syscall of its own about other processes.
#include "process.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <string>

#include "arguments.h"
#include "descriptor.h"
#include "errors.h"

namespace flametap {

namespace {

// readMemory(pid, address, into: Uint8Array): bytes read, 0 when nothing could be.
Napi::Value ReadMemory(const Napi::CallbackInfo& info) {
  const auto pid = static_cast<pid_t>(WholeNumber(info[0], "pid", 1, INT32_MAX));
  const auto address = static_cast<uintptr_t>(WholeNumber(info[1], "address", 0, kMaxSafeInteger));
  Napi::Uint8Array into = Bytes(info[2], "into");
  iovec local = {into.Data(), into.ByteLength()};
  iovec remote = {reinterpret_cast<void*>(address), into.ByteLength()};
  const ssize_t n = process_vm_readv(pid, &local, 1, &remote, 1, 0);
  if (n < 0) throw SystemError(info.Env(), "read memory of process " + std::to_string(pid), errno);
  return Napi::Number::New(info.Env(), static_cast<double>(n));
}

// Descriptor of a regular file below a root directory. Links are resolved inside
// that root, so that a container cannot point us at a file of the host. Looked at
// before it is opened: to open a device or a FIFO can have effects, or block.
Napi::Value OpenRegularBelow(Napi::Env env, int root, const std::string& path,
                             const std::string& whose) {
  open_how how = {};
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  Descriptor found(static_cast<int>(syscall(SYS_openat2, root, path.c_str(), &how, sizeof(how))));
  const std::string what = "open " + path + whose;
  if (!found.valid()) throw SystemError(env, what, errno);
  struct stat status;
  if (fstat(found.get(), &status)) throw SystemError(env, what, errno);
  if (!S_ISREG(status.st_mode)) throw SystemError(env, what + ", no regular file", EINVAL);
  const std::string self = "/proc/self/fd/" + std::to_string(found.get());
  const int fd = open(self.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY);
  if (fd < 0) throw SystemError(env, what, errno);
  return Napi::Number::New(env, fd);
}

// openInRoot(pid, path): descriptor of a regular file as process `pid` sees it.
Napi::Value OpenInRoot(const Napi::CallbackInfo& info) {
  const std::string pid =
      std::to_string(static_cast<pid_t>(WholeNumber(info[0], "pid", 1, INT32_MAX)));
  const std::string path = Text(info[1], "path");
  const std::string root_path = "/proc/" + pid + "/root";
  Descriptor root(open(root_path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root.valid()) throw SystemError(info.Env(), "open " + root_path, errno);
  return OpenRegularBelow(info.Env(), root.get(), path, " of process " + pid);
}

// openBelow(root, path): the same below the directory of a descriptor.
Napi::Value OpenBelow(const Napi::CallbackInfo& info) {
  return OpenRegularBelow(info.Env(), DescriptorNumber(info[0]), Text(info[1], "path"), "");
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

void InitProcess(Napi::Env env, Napi::Object exports) {
  exports.Set("readMemory", Napi::Function::New<ReadMemory>(env, "readMemory"));
  exports.Set("openInRoot", Napi::Function::New<OpenInRoot>(env, "openInRoot"));
  exports.Set("openBelow", Napi::Function::New<OpenBelow>(env, "openBelow"));
  exports.Set("linkFile", Napi::Function::New<LinkFile>(env, "linkFile"));
}

}  // namespace flametap
