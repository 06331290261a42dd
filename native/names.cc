// SPDX-License-Identifier: Apache-2.0
// Binds the demangler.
#include <string>
#include <vector>

#include "arguments.h"
#include "demangle.h"
#include "parts.h"

namespace flametap {

namespace {

// Longer names are cut by the caller anyway.
constexpr size_t kCapacity = 16 * 1024;

// demangle(name): string, undefined when it is not a mangled name
Napi::Value Demangle(const Napi::CallbackInfo& info) {
  const std::string name = Text(info[0], "name");
  thread_local std::vector<char> out(kCapacity);
  if (!flametap_demangle(name.c_str(), out.data(), out.size())) return info.Env().Undefined();
  return Napi::String::New(info.Env(), out.data());
}

}  // namespace

void InitNames(Napi::Env env, Napi::Object exports) {
  exports.Set("demangle", Napi::Function::New<Demangle>(env, "demangle"));
}

}  // namespace flametap
