// SPDX-License-Identifier: Apache-2.0
#include "bounded-call.h"

#include <pthread.h>
#include <signal.h>

#include <chrono>

namespace flametap {

namespace {

// A call chain of a few functions; the C library wants 16 KiB at least.
constexpr size_t kStackBytes = 128 << 10;

}  // namespace

std::shared_ptr<Helper> Helper::Start() {
  auto helper = std::make_shared<Helper>();
  pthread_attr_t attributes;
  if (pthread_attr_init(&attributes)) return nullptr;
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attributes, kStackBytes);
  // Signals are Node's.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  auto* argument = new std::shared_ptr<Helper>(helper);
  pthread_t thread;
  const int error = pthread_create(&thread, &attributes, Run, argument);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_attr_destroy(&attributes);
  if (!error) return helper;
  delete argument;
  return nullptr;
}

void* Helper::Run(void* argument) {
  const std::unique_ptr<std::shared_ptr<Helper>> helper(
      static_cast<std::shared_ptr<Helper>*>(argument));
  (*helper)->Loop();
  return nullptr;
}

void Helper::Loop() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return call_ != nullptr || leaves_; });
    if (!call_) return;
    const std::shared_ptr<Call> call = std::move(call_);
    call_ = nullptr;
    lock.unlock();
    call->work(call->result);
    lock.lock();
    if (call->is_abandoned) {
      // What was opened is closed here: that may take as long again.
      lock.unlock();
      call->result = Result();
      lock.lock();
    }
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
  call->is_abandoned = true;
  leaves_ = true;
  return false;
}

void Helper::Leave() {
  const std::lock_guard lock(mutex_);
  leaves_ = true;
  changed_.notify_all();
}

}  // namespace flametap
