// SPDX-License-Identifier: Apache-2.0
// Keeps signals from this thread for as long as it lives.
#pragma once

#include <pthread.h>
#include <signal.h>

namespace flametap {

// The verifier, and with it the loading and attaching of programs, gives up with EAGAIN
// as soon as a signal is pending for its thread; libbpf tries five times. With a timer
// that fires faster than a program is verified all of them fail. Blocked signals go to
// another thread, or wait until the call is over.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_;
};

}  // namespace flametap
