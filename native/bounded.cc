// SPDX-License-Identifier: Apache-2.0
#include "bounded.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <thread>
#include <vector>

#include "arguments.h"
#include "errors.h"

namespace flametap {

namespace {

// Of helpers that are stuck: each keeps a thread.
constexpr size_t kMaxStuck = 32;
// One read, for which the helper needs as much memory again.
constexpr size_t kMaxRead = 64 << 20;
// preadv2(2), since 4.14: only what the page cache has.
constexpr int kNoWait = 8;

constexpr uint32_t kXfs = 0x58465342;
constexpr uint32_t kZfs = 0x2fc12fc1;
constexpr uint32_t kF2fs = 0xf2f52010;
constexpr uint32_t kErofs = 0xe0f5e1e2;
constexpr uint32_t kFuse = 0x65735546;

FileKind KindOf(uint32_t type) {
  switch (type) {
    case EXT4_SUPER_MAGIC:
    case BTRFS_SUPER_MAGIC:
    case TMPFS_MAGIC:
    case RAMFS_MAGIC:
    case SQUASHFS_MAGIC:
    case kXfs:
    case kZfs:
    case kF2fs:
    case kErofs:
      return {true, true};
    case OVERLAYFS_SUPER_MAGIC:
    case NFS_SUPER_MAGIC:
    case kFuse:
      return {false, true};
    default:
      return {};
  }
}

// Regular files there can have effects when they are opened or read.
bool IsPseudo(uint32_t type) {
  return type == PROC_SUPER_MAGIC || type == SYSFS_MAGIC || type == TRACEFS_MAGIC ||
         type == DEBUGFS_MAGIC || type == CGROUP2_SUPER_MAGIC || type == CGROUP_SUPER_MAGIC;
}

std::string DescriptorPath(int fd) { return "/proc/self/fd/" + std::to_string(fd); }

// Opens what `found` stands for when it is a regular file. Looked at before it is
// opened: to open a device or a FIFO can have effects, or block.
void OpenRegular(int found, Result& result) {
  const Descriptor place(found);
  struct stat status;
  struct statfs system;
  if (!place.valid() || fstat(place.get(), &status) || fstatfs(place.get(), &system)) {
    result.error = errno;
    return;
  }
  const auto type = static_cast<uint32_t>(system.f_type);
  if (!S_ISREG(status.st_mode) || IsPseudo(type)) {
    result.error = EINVAL;
    return;
  }
  result.file = Descriptor(
      open(DescriptorPath(place.get()).c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  result.kind = KindOf(type);
  if (!result.file.valid()) result.error = errno;
}

// Links are resolved inside the root, so that a container cannot point us at a file of the host.
void OpenRegularBelow(int root, const std::string& path, Result& result) {
  open_how how = {};
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  OpenRegular(static_cast<int>(syscall(SYS_openat2, root, path.c_str(), &how, sizeof(how))),
              result);
}

void ReadAt(int fd, size_t length, off_t position, Result& result) {
  result.bytes.reset(new char[length]);
  result.count = 0;
  while (static_cast<size_t>(result.count) < length) {
    const ssize_t n = pread(fd, result.bytes.get() + result.count, length - result.count,
                            position + result.count);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && result.count == 0) result.error = errno;
    if (n <= 0) return;
    result.count += n;
  }
}

void StateOf(int fd, Result& result) {
  const int flags = AT_EMPTY_PATH | AT_STATX_DONT_SYNC;
  if (statx(fd, "", flags, STATX_BASIC_STATS, &result.state)) result.error = errno;
}

int64_t Nanoseconds(const statx_timestamp& time) {
  return time.tv_sec * 1'000'000'000 + time.tv_nsec;
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

BoundedCalls::BoundedCalls(const Napi::CallbackInfo& info)
    : ObjectWrap(info), limit_(WholeNumber(info[0], "milliseconds", 1, INT32_MAX)) {}

BoundedCalls::~BoundedCalls() {
  if (helper_) helper_->Leave();
  std::vector<int> others;
  for (const auto& [fd, kind] : files_) {
    if (kind.closes_at_once) {
      close(fd);
    } else {
      others.push_back(fd);
    }
  }
  if (others.empty()) return;
  std::thread([others] {
    for (const int fd : others) close(fd);
  }).detach();
}

// The call when it was over in time. Throws when it was not (ETIMEDOUT, `call` is its
// number) and when it failed.
std::shared_ptr<Call> BoundedCalls::Make(Napi::Env env, const std::string& what, Work work) {
  std::erase_if(stuck_, [](const auto& entry) { return entry.second->is_over.load(); });
  if (stuck_.size() >= kMaxStuck) throw SystemError(env, what + ", too many calls hang", EBUSY);
  if (!helper_) helper_ = Helper::Start();
  if (!helper_) throw SystemError(env, what, EAGAIN);
  auto call = std::make_shared<Call>();
  call->work = std::move(work);
  if (!helper_->Serve(call, limit_)) {
    helper_.reset();
    const uint32_t number = next_++;
    stuck_.emplace(number, call);
    Napi::Error error = SystemError(env, what, ETIMEDOUT);
    error.Set("call", Napi::Number::New(env, number));
    throw error;
  }
  if (call->result.error) throw SystemError(env, what, call->result.error);
  return call;
}

// isOver(call): whether a call that was not waited for has come to its end.
Napi::Value BoundedCalls::IsOver(const Napi::CallbackInfo& info) {
  const auto found =
      stuck_.find(static_cast<uint32_t>(WholeNumber(info[0], "call", 1, UINT32_MAX)));
  return Napi::Boolean::New(info.Env(), found == stuck_.end() || found->second->is_over.load());
}

Napi::Value BoundedCalls::Keep(Napi::Env env, Call& call) {
  const int fd = call.result.file.Release();
  files_[fd] = call.result.kind;
  return Napi::Number::New(env, fd);
}

// open(path): descriptor of a regular file.
Napi::Value BoundedCalls::Open(const Napi::CallbackInfo& info) {
  const std::string path = Text(info[0], "path");
  const auto call = Make(info.Env(), "open " + path, [path](Result& result) {
    OpenRegular(open(path.c_str(), O_PATH | O_CLOEXEC), result);
  });
  return Keep(info.Env(), *call);
}

// openInRoot(pid, path): descriptor of a regular file as process `pid` sees it.
Napi::Value BoundedCalls::OpenInRoot(const Napi::CallbackInfo& info) {
  const std::string pid =
      std::to_string(static_cast<pid_t>(WholeNumber(info[0], "pid", 1, INT32_MAX)));
  const std::string path = Text(info[1], "path");
  const std::string root_path = "/proc/" + pid + "/root";
  const std::string what = "open " + path + " of process " + pid;
  const auto call = Make(info.Env(), what, [root_path, path](Result& result) {
    const Descriptor root(open(root_path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (root.valid()) {
      OpenRegularBelow(root.get(), path, result);
    } else {
      result.error = errno;
    }
  });
  return Keep(info.Env(), *call);
}

// openBelow(root, path): the same below the directory of a descriptor.
Napi::Value BoundedCalls::OpenBelow(const Napi::CallbackInfo& info) {
  // Whoever has the directory may close it while the call hangs.
  const int root = fcntl(DescriptorNumber(info[0]), F_DUPFD_CLOEXEC, 0);
  const std::string path = Text(info[1], "path");
  if (root < 0) throw SystemError(info.Env(), "open " + path, errno);
  const auto shared = std::make_shared<Descriptor>(root);
  const auto call = Make(info.Env(), "open " + path, [shared, path](Result& result) {
    OpenRegularBelow(shared->get(), path, result);
  });
  return Keep(info.Env(), *call);
}

// openDirectory(path): a place in the file system, without the right to read there.
Napi::Value BoundedCalls::OpenDirectory(const Napi::CallbackInfo& info) {
  const std::string path = Text(info[0], "path");
  const auto call = Make(info.Env(), "open " + path, [path](Result& result) {
    result.file = Descriptor(open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    // There is nothing to be flushed.
    result.kind = {true, false};
    if (!result.file.valid()) result.error = errno;
  });
  return Keep(info.Env(), *call);
}

// reopen(fd): another descriptor of the same regular file, or of the same directory (O_PATH).
Napi::Value BoundedCalls::Reopen(const Napi::CallbackInfo& info) {
  const std::string path = DescriptorPath(DescriptorNumber(info[0]));
  const auto call = Make(info.Env(), "open a file again", [path](Result& result) {
    result.file = Descriptor(open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    result.kind = {true, false};
    if (!result.file.valid()) OpenRegular(open(path.c_str(), O_PATH | O_CLOEXEC), result);
  });
  return Keep(info.Env(), *call);
}

// state(fd): device, inode, change and modification time in nanoseconds, size, owner,
// type and mode, number of names.
Napi::Value BoundedCalls::State(const Napi::CallbackInfo& info) {
  const int fd = DescriptorNumber(info[0]);
  const auto known = files_.find(fd);
  const char* what = "look at a file";
  Result direct;
  std::shared_ptr<Call> call;
  if (known != files_.end() && known->second.states_at_once) {
    StateOf(fd, direct);
    if (direct.error) throw SystemError(info.Env(), what, direct.error);
  } else {
    call = Make(info.Env(), what, [fd](Result& result) { StateOf(fd, result); });
  }
  const struct statx& state = call ? call->result.state : direct.state;
  auto words = Napi::BigUint64Array::New(info.Env(), 8);
  // As /proc/PID/maps and perf name it.
  words[0] = static_cast<uint64_t>(state.stx_dev_major) << 20 | state.stx_dev_minor;
  words[1] = state.stx_ino;
  words[2] = Nanoseconds(state.stx_ctime);
  words[3] = Nanoseconds(state.stx_mtime);
  words[4] = state.stx_size;
  words[5] = state.stx_uid;
  words[6] = state.stx_mode;
  words[7] = state.stx_nlink;
  return words;
}

Napi::Value BoundedCalls::Take(Napi::Env env, const Call& call, Napi::Uint8Array into) {
  const Result& result = call.result;
  // Neither may be null, not even for nothing.
  if (result.count > 0) memcpy(into.Data(), result.bytes.get(), result.count);
  return Napi::Number::New(env, static_cast<double>(result.count));
}

// read(fd, into: Uint8Array, position): bytes read, fewer only at the end of the file.
Napi::Value BoundedCalls::Read(const Napi::CallbackInfo& info) {
  const int fd = DescriptorNumber(info[0]);
  Napi::Uint8Array into = Bytes(info[1], "into");
  const auto position = static_cast<off_t>(WholeNumber(info[2], "position", 0, kMaxSafeInteger));
  const size_t length = into.ByteLength();
  size_t done = 0;
  // Most of what is read is in memory, and this thread may read that itself.
  while (done < length) {
    const iovec rest = {into.Data() + done, length - done};
    const ssize_t n = preadv2(fd, &rest, 1, position + static_cast<off_t>(done), kNoWait);
    if (n == 0) return Napi::Number::New(info.Env(), static_cast<double>(done));
    if (n < 0) break;
    done += static_cast<size_t>(n);
  }
  while (done < length) {
    const size_t piece = std::min(length - done, kMaxRead);
    const off_t at = position + static_cast<off_t>(done);
    const auto call = Make(info.Env(), "read a file",
                           [fd, piece, at](Result& result) { ReadAt(fd, piece, at, result); });
    memcpy(into.Data() + done, call->result.bytes.get(), call->result.count);
    done += static_cast<size_t>(call->result.count);
    if (static_cast<size_t>(call->result.count) < piece) break;
  }
  return Napi::Number::New(info.Env(), static_cast<double>(done));
}

// readPath(path, into: Uint8Array, position): the same of a file of /proc, by one open(2).
Napi::Value BoundedCalls::ReadPath(const Napi::CallbackInfo& info) {
  const std::string path = Text(info[0], "path");
  Napi::Uint8Array into = Bytes(info[1], "into");
  const auto position = static_cast<off_t>(WholeNumber(info[2], "position", 0, kMaxSafeInteger));
  const size_t length = std::min(into.ByteLength(), kMaxRead);
  const auto call = Make(info.Env(), "read " + path, [path, length, position](Result& result) {
    const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (file.valid()) {
      ReadAt(file.get(), length, position, result);
    } else {
      result.error = errno;
    }
  });
  return Take(info.Env(), *call, into);
}

// readMemory(pid, address, into: Uint8Array): bytes read, 0 when nothing could be.
Napi::Value BoundedCalls::ReadMemory(const Napi::CallbackInfo& info) {
  const auto pid = static_cast<pid_t>(WholeNumber(info[0], "pid", 1, INT32_MAX));
  const auto address = static_cast<uintptr_t>(WholeNumber(info[1], "address", 0, kMaxSafeInteger));
  Napi::Uint8Array into = Bytes(info[2], "into");
  const size_t length = std::min(into.ByteLength(), kMaxRead);
  const std::string what = "read memory of process " + std::to_string(pid);
  const auto call = Make(info.Env(), what, [pid, address, length](Result& result) {
    result.bytes.reset(new char[length]);
    const iovec local = {result.bytes.get(), length};
    const iovec remote = {reinterpret_cast<void*>(address), length};
    result.count = process_vm_readv(pid, &local, 1, &remote, 1, 0);
    if (result.count < 0) result.error = errno;
  });
  return Take(info.Env(), *call, into);
}

// close(fd): a server that does not answer is not waited for.
Napi::Value BoundedCalls::Close(const Napi::CallbackInfo& info) {
  const int fd = DescriptorNumber(info[0]);
  const auto known = files_.extract(fd);
  if (known && known.mapped().closes_at_once) {
    close(fd);
  } else {
    Make(info.Env(), "close a file", [fd](Result&) { close(fd); });
  }
  return info.Env().Undefined();
}

void BoundedCalls::Init(Napi::Env env, Napi::Object exports) {
  exports.Set("BoundedCalls",
              DefineClass(env, "BoundedCalls",
                          {
                              InstanceMethod<&BoundedCalls::Open>("open"),
                              InstanceMethod<&BoundedCalls::OpenInRoot>("openInRoot"),
                              InstanceMethod<&BoundedCalls::OpenBelow>("openBelow"),
                              InstanceMethod<&BoundedCalls::OpenDirectory>("openDirectory"),
                              InstanceMethod<&BoundedCalls::Reopen>("reopen"),
                              InstanceMethod<&BoundedCalls::State>("state"),
                              InstanceMethod<&BoundedCalls::Read>("read"),
                              InstanceMethod<&BoundedCalls::ReadPath>("readPath"),
                              InstanceMethod<&BoundedCalls::ReadMemory>("readMemory"),
                              InstanceMethod<&BoundedCalls::Close>("close"),
                              InstanceMethod<&BoundedCalls::IsOver>("isOver"),
                          }));
  exports.Set("exitWithin", Napi::Function::New<ExitWithin>(env, "exitWithin"));
}

}  // namespace flametap
