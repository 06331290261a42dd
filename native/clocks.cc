// SPDX-License-Identifier: Apache-2.0
#include "clocks.h"

#include <time.h>

#include <cstdint>

namespace flametap {

namespace {

uint64_t Read(clockid_t clock) {
  timespec now = {};
  clock_gettime(clock, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

// clocks(): [monotonic, real, boot, monotonic again] in nanoseconds: between the two
// readings of the first lies how far apart the others may have been read.
Napi::Value Clocks(const Napi::CallbackInfo& info) {
  Napi::BigUint64Array times = Napi::BigUint64Array::New(info.Env(), 4);
  times[0] = Read(CLOCK_MONOTONIC);
  times[1] = Read(CLOCK_REALTIME);
  times[2] = Read(CLOCK_BOOTTIME);
  times[3] = Read(CLOCK_MONOTONIC);
  return times;
}

}  // namespace

void InitClocks(Napi::Env env, Napi::Object exports) {
  exports.Set("clocks", Napi::Function::New(env, Clocks, "clocks"));
}

}  // namespace flametap
