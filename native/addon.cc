// SPDX-License-Identifier: Apache-2.0
// Wires the parts of the addon; nothing else.
#include <napi.h>

#include "bounded.h"
#include "parts.h"
#include "sampler.h"

namespace {

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  flametap::BoundedCalls::Init(env, exports);
  flametap::Sampler::Init(env, exports);
  flametap::InitMaps(env, exports);
  flametap::InitNames(env, exports);
  flametap::InitSystem(env, exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(flametap, Init)
