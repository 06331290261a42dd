// SPDX-License-Identifier: Apache-2.0
// What needs a syscall of its own about other processes.
#include "process.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "descriptor.h"
#include "errors.h"

namespace flametap {

namespace {

// readMemory(pid, address, into: Uint8Array): bytes read, 0 when nothing could be.
Napi::Value ReadMemory(const Napi::CallbackInfo& info) {
  const pid_t pid = info[0].As<Napi::Number>();
  const auto address = static_cast<uintptr_t>(info[1].As<Napi::Number>().Int64Value());
  Napi::Uint8Array into = info[2].As<Napi::Uint8Array>();
  iovec local = {into.Data(), into.ByteLength()};
  iovec remote = {reinterpret_cast<void*>(address), into.ByteLength()};
  const ssize_t n = process_vm_readv(pid, &local, 1, &remote, 1, 0);
  if (n < 0) throw SystemError(info.Env(), "read memory of process " + std::to_string(pid), errno);
  return Napi::Number::New(info.Env(), static_cast<double>(n));
}

// openInRoot(pid, path): descriptor of a file as process `pid` sees it. Links
// are resolved inside that root, so that a container cannot point us at a file
// of the host; FIFOs do not block.
Napi::Value OpenInRoot(const Napi::CallbackInfo& info) {
  const std::string pid = std::to_string(info[0].As<Napi::Number>().Int32Value());
  const std::string path = info[1].As<Napi::String>();
  const std::string root_path = "/proc/" + pid + "/root";
  Descriptor root(open(root_path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root.valid()) throw SystemError(info.Env(), "open " + root_path, errno);
  open_how how = {};
  how.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  const long fd = syscall(SYS_openat2, root.get(), path.c_str(), &how, sizeof(how));
  if (fd < 0) throw SystemError(info.Env(), "open " + path + " of process " + pid, errno);
  return Napi::Number::New(info.Env(), static_cast<double>(fd));
}

}  // namespace

void InitProcess(Napi::Env env, Napi::Object exports) {
  exports.Set("readMemory", Napi::Function::New<ReadMemory>(env, "readMemory"));
  exports.Set("openInRoot", Napi::Function::New<OpenInRoot>(env, "openInRoot"));
}

}  // namespace flametap
