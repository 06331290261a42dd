// SPDX-License-Identifier: Apache-2.0
// Arguments from JavaScript, checked: node-addon-api's As<> is a plain cast, and
// a wrong one would reach the kernel or a memcpy.
#pragma once

#include <napi.h>

#include <cstdint>
#include <string>

namespace flametap {

// Whole number between `least` and `most`. Throws a TypeError that names it.
double WholeNumber(Napi::Value value, const char* name, double least, double most);

inline int DescriptorNumber(Napi::Value value) {
  return static_cast<int>(WholeNumber(value, "fd", 0, INT32_MAX));
}

// 2^53 - 1: what a JavaScript number holds exactly.
constexpr double kMaxSafeInteger = 9007199254740991.0;

Napi::Uint8Array Bytes(Napi::Value value, const char* name);

std::string Text(Napi::Value value, const char* name);

Napi::Object PlainObject(Napi::Value value, const char* name);

}  // namespace flametap
