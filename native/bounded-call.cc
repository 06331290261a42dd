// SPDX-License-Identifier: Apache-2.0
#include "bounded-call.h"

#include <time.h>

#include <chrono>
#include <system_error>
#include <thread>

#include "signals.h"

namespace flametap {

namespace {

int64_t ThreadCpuTime() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return time.tv_sec * 1'000'000'000 + time.tv_nsec;
}

}  // namespace

std::shared_ptr<Helper> Helper::Start() {
  auto helper = std::make_shared<Helper>();
  // It inherits that: signals are Node's.
  const SignalsBlocked signals;
  try {
    std::thread(&Helper::Loop, helper).detach();
  } catch (const std::system_error&) {
    return nullptr;
  }
  return helper;
}

void Helper::Loop() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return call_ != nullptr || leaves_; });
    if (!call_) return;
    const std::shared_ptr<Call> call = std::exchange(call_, nullptr);
    lock.unlock();
    const int64_t begun = ThreadCpuTime();
    call->work(*call);
    call->cpu_time = ThreadCpuTime() - begun;
    lock.lock();
    // Nobody waits any more. What was opened is closed here: that may take as long again.
    if (leaves_) call->file.Close();
    call->is_over = true;
    changed_.notify_all();
  }
}

bool Helper::Serve(const std::shared_ptr<Call>& call, double milliseconds) {
  std::unique_lock lock(mutex_);
  call_ = call;
  changed_.notify_all();
  const std::chrono::duration<double, std::milli> limit(milliseconds);
  if (changed_.wait_for(lock, limit, [&call] { return call->is_over.load(); })) return true;
  leaves_ = true;
  return false;
}

void Helper::Leave() {
  const std::lock_guard lock(mutex_);
  leaves_ = true;
  changed_.notify_all();
}

}  // namespace flametap
