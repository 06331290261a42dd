// SPDX-License-Identifier: Apache-2.0
// What each part puts into the addon.
#pragma once

#include <napi.h>

namespace flametap {

void InitMaps(Napi::Env env, Napi::Object exports);
void InitNames(Napi::Env env, Napi::Object exports);
void InitSystem(Napi::Env env, Napi::Object exports);

}  // namespace flametap
