// SPDX-License-Identifier: Apache-2.0
// System calls that a dead file system or a stuck process could hold up for ever.
#pragma once

#include <napi.h>

#include <functional>
#include <memory>
#include <string>
#include <unordered_map>

#include "bounded-call.h"

namespace flametap {

// For one thread of JavaScript: its calls are made by a helper thread, which is not
// waited for longer than a limit. A helper that is stuck is left to itself, and the
// next call gets another one. Descriptors are closed when the thread ends.
class BoundedCalls : public Napi::ObjectWrap<BoundedCalls> {
 public:
  static void Init(Napi::Env env, Napi::Object exports);
  // new BoundedCalls(); its property `limit` has the milliseconds of each call.
  explicit BoundedCalls(const Napi::CallbackInfo& info) : ObjectWrap(info) {}
  ~BoundedCalls() override;

 private:
  Napi::Value Open(const Napi::CallbackInfo& info);
  Napi::Value State(const Napi::CallbackInfo& info);
  Napi::Value Read(const Napi::CallbackInfo& info);
  Napi::Value ReadMemory(const Napi::CallbackInfo& info);
  Napi::Value Close(const Napi::CallbackInfo& info);
  Napi::Value IsOver(const Napi::CallbackInfo& info);
  Napi::Value CpuTime(const Napi::CallbackInfo& info);

  using Work = std::function<void(Call&)>;
  std::shared_ptr<Call> Make(Napi::Env env, const std::string& what, Work work,
                             bool at_once = false);

  std::shared_ptr<Helper> helper_;
  std::unordered_map<int, FileKind> files_;
  // Calls that were not waited for, by number.
  std::unordered_map<uint32_t, std::shared_ptr<Call>> stuck_;
  uint32_t next_ = 1;
  // Of the helpers, nanoseconds.
  int64_t cpu_time_ = 0;
};

}  // namespace flametap
