// SPDX-License-Identifier: Apache-2.0
// Writing BPF maps by descriptor, so that another thread than the sampler's can.
#include "maps.h"

#include <bpf/bpf.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

#include "descriptor.h"
#include "errors.h"

namespace flametap {

namespace {

// mapUpdate(fd, key: Uint8Array, value: Uint8Array)
Napi::Value MapUpdate(const Napi::CallbackInfo& info) {
  const int fd = info[0].As<Napi::Number>();
  Napi::Uint8Array key = info[1].As<Napi::Uint8Array>();
  Napi::Uint8Array value = info[2].As<Napi::Uint8Array>();
  if (bpf_map_update_elem(fd, key.Data(), value.Data(), BPF_ANY)) {
    throw SystemError(info.Env(), "update a BPF map", errno);
  }
  return info.Env().Undefined();
}

// mapDelete(fd, key): boolean, false when there was no such key
Napi::Value MapDelete(const Napi::CallbackInfo& info) {
  const int fd = info[0].As<Napi::Number>();
  Napi::Uint8Array key = info[1].As<Napi::Uint8Array>();
  return Napi::Boolean::New(info.Env(), bpf_map_delete_elem(fd, key.Data()) == 0);
}

// arrayWrite(fd, byteOffset, data: Uint8Array): into a BPF_F_MMAPABLE array.
// The mapping lasts only for the copy: mapped pages count in RSS.
Napi::Value ArrayWrite(const Napi::CallbackInfo& info) {
  const int fd = info[0].As<Napi::Number>();
  const auto offset = static_cast<uint64_t>(info[1].As<Napi::Number>().Int64Value());
  Napi::Uint8Array data = info[2].As<Napi::Uint8Array>();
  if (data.ByteLength() == 0) return info.Env().Undefined();
  const uint64_t page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  const uint64_t start = offset & ~(page - 1);
  const uint64_t length = offset + data.ByteLength() - start;
  // The kernel refuses a range beyond the map's own pages.
  Region region = Region::Map(fd, length, PROT_READ | PROT_WRITE, static_cast<off_t>(start));
  if (!region.data()) throw SystemError(info.Env(), "map a BPF array", errno);
  std::memcpy(region.data() + (offset - start), data.Data(), data.ByteLength());
  return info.Env().Undefined();
}

}  // namespace

void InitMaps(Napi::Env env, Napi::Object exports) {
  exports.Set("mapUpdate", Napi::Function::New<MapUpdate>(env, "mapUpdate"));
  exports.Set("mapDelete", Napi::Function::New<MapDelete>(env, "mapDelete"));
  exports.Set("arrayWrite", Napi::Function::New<ArrayWrite>(env, "arrayWrite"));
}

}  // namespace flametap
