// SPDX-License-Identifier: Apache-2.0
// One system call and the thread that makes it in the name of another.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>

#include "descriptor.h"

namespace flametap {

// What may be done with a descriptor without a helper.
struct FileKind {
  // close(2) asks no server: on FUSE it does.
  bool closes_at_once = false;
  // statx(2) with AT_STATX_DONT_SYNC asks none either.
  bool states_at_once = false;
};

struct Call {
  std::function<void(Call&)> work;
  // What `work` leaves.
  int error = 0;
  ssize_t count = 0;
  Descriptor file;
  FileKind kind;
  struct statx state = {};
  std::unique_ptr<char[]> bytes;
  // Of the helper, nanoseconds.
  int64_t cpu_time = 0;

  std::atomic<bool> is_over = false;
};

class Helper {
 public:
  // Null when there is no memory for a thread.
  static std::shared_ptr<Helper> Start();
  // False when it was not over in time; then it may not be used again.
  bool Serve(const std::shared_ptr<Call>& call, double milliseconds);
  // Ends it once it has nothing to do.
  void Leave();

 private:
  void Loop();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::shared_ptr<Call> call_;
  // Nobody has anything for it any more, or waits for what it does.
  bool leaves_ = false;
};

}  // namespace flametap
