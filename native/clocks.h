// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <napi.h>

namespace flametap {

void InitClocks(Napi::Env env, Napi::Object exports);

}  // namespace flametap
