// SPDX-License-Identifier: Apache-2.0
// What the C library keeps of this process's memory.
#include "memory.h"

#include <malloc.h>

namespace flametap {

namespace {

// releaseMemory(): gives free memory back to the system. glibc does that by itself
// only at the end of a heap, and a thread that ended leaves holes.
Napi::Value ReleaseMemory(const Napi::CallbackInfo& info) {
#ifdef __GLIBC__
  malloc_trim(0);
#endif
  return info.Env().Undefined();
}

}  // namespace

void InitMemory(Napi::Env env, Napi::Object exports) {
  exports.Set("releaseMemory", Napi::Function::New<ReleaseMemory>(env, "releaseMemory"));
}

}  // namespace flametap
