// SPDX-License-Identifier: Apache-2.0
// The loaded BPF object with its perf events and rings, as one JavaScript object.
#pragma once

#include <bpf/libbpf.h>
#include <napi.h>
#include <uv.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ring.h"

namespace flametap {

class Sampler : public Napi::ObjectWrap<Sampler> {
 public:
  static void Init(Napi::Env env, Napi::Object exports);
  // new Sampler({object, cpus, ringBytes, config: {name: Uint8Array}, entries: {map: number}})
  explicit Sampler(const Napi::CallbackInfo& info);
  ~Sampler() override;

 private:
  Napi::Value Attach(const Napi::CallbackInfo& info);
  Napi::Value Watch(const Napi::CallbackInfo& info);
  Napi::Value Unwatch(const Napi::CallbackInfo& info);
  Napi::Value EventTimes(const Napi::CallbackInfo& info);
  Napi::Value Drain(const Napi::CallbackInfo& info);
  Napi::Value DrainSideband(const Napi::CallbackInfo& info);
  Napi::Value Counters(const Napi::CallbackInfo& info);
  Napi::Value MapDescriptor(const Napi::CallbackInfo& info);
  Napi::Value RunStats(const Napi::CallbackInfo& info);
  Napi::Value MapMemory(const Napi::CallbackInfo& info);
  Napi::Value EnableRunStats(const Napi::CallbackInfo& info);
  Napi::Value DisableRunStats(const Napi::CallbackInfo& info);
  Napi::Value OnReadable(const Napi::CallbackInfo& info);
  Napi::Value Close(const Napi::CallbackInfo& info);

  void Configure(Napi::Env env, const Napi::Object& config);
  void Load(Napi::Env env);
  void Introduce(Napi::Env env);
  void EnsureRing(Napi::Env env, uint32_t cpu);
  void AttachProgram(Napi::Env env, bpf_program* program, const std::string& log);
  void StopPolling();
  void CloseAll();

  struct Watched {
    Descriptor event;
    std::unique_ptr<PerfRing> sideband;
  };

  struct ObjectCloser {
    void operator()(bpf_object* object) const { bpf_object__close(object); }
  };
  struct LinkCloser {
    void operator()(bpf_link* link) const { bpf_link__destroy(link); }
  };

  std::unique_ptr<bpf_object, ObjectCloser> object_;
  std::vector<std::unique_ptr<bpf_link, LinkCloser>> links_;
  // By CPU; none for those that were never sampled.
  std::vector<std::unique_ptr<BpfRing>> rings_;
  std::map<uint32_t, Watched> watched_;
  // Side bands of CPUs that are no longer sampled, until they are empty.
  std::vector<std::unique_ptr<PerfRing>> retired_;
  uint32_t last_sideband_ = 0;
  Descriptor epoll_;
  Descriptor run_stats_;
  uint32_t cpus_ = 0;
  uint32_t ring_bytes_ = 0;
  bool has_common_ring_ = false;
  size_t next_ring_ = 0;
  uv_poll_t* poll_ = nullptr;
  Napi::FunctionReference on_readable_;
  std::unique_ptr<Napi::AsyncContext> async_context_;
};

}  // namespace flametap
