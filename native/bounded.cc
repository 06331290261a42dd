// SPDX-License-Identifier: Apache-2.0
#include "bounded.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <thread>

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

constexpr uint32_t kXfs = 0x58465342, kZfs = 0x2fc12fc1, kF2fs = 0xf2f52010;
constexpr uint32_t kErofs = 0xe0f5e1e2, kFuse = 0x65735546;

FileKind KindOf(uint32_t type) {
  for (const uint32_t local :
       {uint32_t{EXT4_SUPER_MAGIC}, uint32_t{BTRFS_SUPER_MAGIC}, uint32_t{TMPFS_MAGIC},
        uint32_t{RAMFS_MAGIC}, uint32_t{SQUASHFS_MAGIC}, kXfs, kZfs, kF2fs, kErofs}) {
    if (type == local) return {true, true};
  }
  return {false, type == OVERLAYFS_SUPER_MAGIC || type == NFS_SUPER_MAGIC || type == kFuse};
}

// Regular files there can have effects when they are opened or read.
bool IsPseudo(uint32_t type) {
  return type == PROC_SUPER_MAGIC || type == SYSFS_MAGIC || type == TRACEFS_MAGIC ||
         type == DEBUGFS_MAGIC || type == CGROUP2_SUPER_MAGIC || type == CGROUP_SUPER_MAGIC;
}

// Opens what `found` stands for when it is a regular file. Looked at before it is
// opened: to open a device or a FIFO can have effects, or block.
void OpenRegular(int found, Call& result) {
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
  const std::string path = "/proc/self/fd/" + std::to_string(place.get());
  result.file = Descriptor(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  result.kind = KindOf(type);
  if (!result.file.valid()) result.error = errno;
}

// Links are resolved inside the root, so that a container cannot point us at a file of the host.
int PlaceBelow(int root, const std::string& path) {
  open_how how = {};
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  return static_cast<int>(syscall(SYS_openat2, root, path.c_str(), &how, sizeof(how)));
}

void ReadAt(int fd, size_t length, off_t position, Call& result) {
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

int64_t Nanoseconds(const statx_timestamp& time) {
  return time.tv_sec * 1'000'000'000 + time.tv_nsec;
}

}  // namespace

BoundedCalls::~BoundedCalls() {
  if (helper_) helper_->Leave();
  std::erase_if(files_, [](const auto& file) {
    if (file.second.closes_at_once) close(file.first);
    return file.second.closes_at_once;
  });
  if (files_.empty()) return;
  std::thread([files = files_] {
    for (const auto& file : files) close(file.first);
  }).detach();
}

// The call when it was over in time. Throws when it was not (ETIMEDOUT, `call` is its
// number) and when it failed. `at_once` when it needs no helper.
std::shared_ptr<Call> BoundedCalls::Make(Napi::Env env, const std::string& what, Work work,
                                         bool at_once) {
  auto call = std::make_shared<Call>();
  call->work = std::move(work);
  if (at_once) {
    call->work(*call);
  } else {
    const double limit = WholeNumber(Value().Get("limit"), "limit", 0, INT32_MAX);
    std::erase_if(stuck_, [this](const auto& entry) {
      if (!entry.second->is_over) return false;
      cpu_time_ += entry.second->cpu_time;
      return true;
    });
    if (limit == 0 || stuck_.size() >= kMaxStuck) {
      throw SystemError(env, what + ", too many calls hang", EBUSY);
    }
    if (!helper_) helper_ = Helper::Start();
    if (!helper_) throw SystemError(env, what, EAGAIN);
    if (!helper_->Serve(call, limit)) {
      helper_.reset();
      stuck_.emplace(next_, call);
      Napi::Error error = SystemError(env, what, ETIMEDOUT);
      error.Set("call", Napi::Number::New(env, next_++));
      throw error;
    }
    cpu_time_ += call->cpu_time;
  }
  if (call->error) throw SystemError(env, what, call->error);
  return call;
}

// isOver(call): whether a call that was not waited for has come to its end.
Napi::Value BoundedCalls::IsOver(const Napi::CallbackInfo& info) {
  const auto found =
      stuck_.find(static_cast<uint32_t>(WholeNumber(info[0], "call", 1, UINT32_MAX)));
  return Napi::Boolean::New(info.Env(), found == stuck_.end() || found->second->is_over.load());
}

// cpuTime(): nanoseconds that helpers have taken for calls, which the thread that asked has not.
Napi::Value BoundedCalls::CpuTime(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(cpu_time_));
}

// open(path, kind, root?): descriptor; below the directory `root`, when there is one, of a
// "regular" file, none of the kernel's own file systems; of a "directory", without the right
// to read there (O_PATH); of a file of /proc ("process").
Napi::Value BoundedCalls::Open(const Napi::CallbackInfo& info) {
  const std::string path = Text(info[0], "path"), kind = Text(info[1], "kind");
  const std::string what = "open " + path;
  // A copy: whoever has the directory may close it while the call hangs.
  std::shared_ptr<Descriptor> root;
  if (!info[2].IsUndefined()) {
    root = std::make_shared<Descriptor>(fcntl(DescriptorNumber(info[2]), F_DUPFD_CLOEXEC, 0));
    if (!root->valid()) throw SystemError(info.Env(), what, errno);
  }
  const auto call = Make(info.Env(), what, [path, kind, root](Call& result) {
    if (kind == "regular") {
      const int place =
          root ? PlaceBelow(root->get(), path) : open(path.c_str(), O_PATH | O_CLOEXEC);
      return OpenRegular(place, result);
    }
    const int flags = kind == "directory" ? O_PATH | O_DIRECTORY : O_RDONLY;
    result.file = Descriptor(open(path.c_str(), flags | O_CLOEXEC));
    // There is nothing to be flushed.
    result.kind.closes_at_once = true;
    if (!result.file.valid()) result.error = errno;
  });
  const int fd = call->file.Release();
  files_[fd] = call->kind;
  return Napi::Number::New(info.Env(), fd);
}

// state(fd): device, inode, change and modification time in nanoseconds, size, owner,
// type and mode, number of names.
Napi::Value BoundedCalls::State(const Napi::CallbackInfo& info) {
  const int fd = DescriptorNumber(info[0]);
  const auto known = files_.find(fd);
  const bool at_once = known != files_.end() && known->second.states_at_once;
  const Work look = [fd](Call& result) {
    const int flags = AT_EMPTY_PATH | AT_STATX_DONT_SYNC;
    if (statx(fd, "", flags, STATX_BASIC_STATS, &result.state)) result.error = errno;
  };
  const auto call = Make(info.Env(), "look at a file", look, at_once);
  const struct statx& state = call->state;
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
                           [fd, piece, at](Call& result) { ReadAt(fd, piece, at, result); });
    memcpy(into.Data() + done, call->bytes.get(), call->count);
    done += static_cast<size_t>(call->count);
    if (static_cast<size_t>(call->count) < piece) break;
  }
  return Napi::Number::New(info.Env(), static_cast<double>(done));
}

// readMemory(pid, address, into: Uint8Array): bytes read, 0 when nothing could be.
Napi::Value BoundedCalls::ReadMemory(const Napi::CallbackInfo& info) {
  const auto pid = static_cast<pid_t>(WholeNumber(info[0], "pid", 1, INT32_MAX));
  const auto address = static_cast<uintptr_t>(WholeNumber(info[1], "address", 0, kMaxSafeInteger));
  Napi::Uint8Array into = Bytes(info[2], "into");
  const size_t length = std::min(into.ByteLength(), kMaxRead);
  const std::string what = "read memory of process " + std::to_string(pid);
  const auto call = Make(info.Env(), what, [pid, address, length](Call& result) {
    result.bytes.reset(new char[length]);
    const iovec local = {result.bytes.get(), length};
    const iovec remote = {reinterpret_cast<void*>(address), length};
    result.count = process_vm_readv(pid, &local, 1, &remote, 1, 0);
    if (result.count < 0) result.error = errno;
  });
  // Neither may be null, not even for nothing.
  if (call->count > 0) memcpy(into.Data(), call->bytes.get(), call->count);
  return Napi::Number::New(info.Env(), static_cast<double>(call->count));
}

// close(fd): a server that does not answer is not waited for.
Napi::Value BoundedCalls::Close(const Napi::CallbackInfo& info) {
  const int fd = DescriptorNumber(info[0]);
  const auto known = files_.extract(fd);
  const bool at_once = known && known.mapped().closes_at_once;
  Make(
      info.Env(), "close a file", [fd](Call&) { close(fd); }, at_once);
  return info.Env().Undefined();
}

void BoundedCalls::Init(Napi::Env env, Napi::Object exports) {
  exports.Set("BoundedCalls",
              DefineClass(env, "BoundedCalls",
                          {
                              InstanceMethod<&BoundedCalls::Open>("open"),
                              InstanceMethod<&BoundedCalls::State>("state"),
                              InstanceMethod<&BoundedCalls::Read>("read"),
                              InstanceMethod<&BoundedCalls::ReadMemory>("readMemory"),
                              InstanceMethod<&BoundedCalls::Close>("close"),
                              InstanceMethod<&BoundedCalls::IsOver>("isOver"),
                              InstanceMethod<&BoundedCalls::CpuTime>("cpuTime"),
                          }));
}

}  // namespace flametap
