// SPDX-License-Identifier: Apache-2.0
// Writing BPF maps by descriptor, so that another thread than the sampler's can.
#include <bpf/bpf.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <vector>

#include "arguments.h"
#include "descriptor.h"
#include "errors.h"
#include "parts.h"

namespace flametap {

namespace {

// The kernel reads as many bytes as its map says, whatever we hand it.
bpf_map_info Shape(Napi::Env env, int fd) {
  bpf_map_info shape = {};
  uint32_t length = sizeof(shape);
  if (bpf_obj_get_info_by_fd(fd, &shape, &length)) {
    throw SystemError(env, "read the shape of a BPF map", errno);
  }
  return shape;
}

void CheckLength(Napi::Uint8Array bytes, const char* name, size_t expected) {
  if (bytes.ByteLength() == expected) return;
  throw Napi::TypeError::New(bytes.Env(), std::string(name) + " must have " +
                                              std::to_string(expected) + " bytes, not " +
                                              std::to_string(bytes.ByteLength()));
}

// mapUpdate(fd, key: Uint8Array, value: Uint8Array)
Napi::Value MapUpdate(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const int fd = DescriptorNumber(info[0]);
  Napi::Uint8Array key = Bytes(info[1], "key");
  Napi::Uint8Array value = Bytes(info[2], "value");
  const bpf_map_info shape = Shape(env, fd);
  CheckLength(key, "key", shape.key_size);
  CheckLength(value, "value", shape.value_size);
  if (bpf_map_update_elem(fd, key.Data(), value.Data(), BPF_ANY)) {
    throw SystemError(env, "update a BPF map", errno);
  }
  return env.Undefined();
}

// mapDelete(fd, key): boolean, false when there was no such key
Napi::Value MapDelete(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const int fd = DescriptorNumber(info[0]);
  Napi::Uint8Array key = Bytes(info[1], "key");
  CheckLength(key, "key", Shape(env, fd).key_size);
  if (bpf_map_delete_elem(fd, key.Data()) == 0) return Napi::Boolean::New(env, true);
  if (errno != ENOENT) throw SystemError(env, "delete from a BPF map", errno);
  return Napi::Boolean::New(env, false);
}

// mapClear(fd): removes every element of a hash map, those too that are put meanwhile
// as long as they do not come faster than they go.
Napi::Value MapClear(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const int fd = DescriptorNumber(info[0]);
  const bpf_map_info shape = Shape(env, fd);
  std::vector<uint8_t> key(shape.key_size);
  for (uint64_t left = 4ULL * shape.max_entries; left > 0; left--) {
    if (bpf_map_get_next_key(fd, nullptr, key.data())) {
      if (errno == ENOENT) break;
      throw SystemError(env, "list a BPF map", errno);
    }
    if (bpf_map_delete_elem(fd, key.data()) && errno != ENOENT) {
      throw SystemError(env, "delete from a BPF map", errno);
    }
  }
  return env.Undefined();
}

// mapEntries(fd): Uint8Array of a hash map's keys and values in turns, in no order. What
// comes and goes meanwhile may be in it or not.
Napi::Value MapEntries(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const int fd = DescriptorNumber(info[0]);
  const bpf_map_info shape = Shape(env, fd);
  if (shape.type != BPF_MAP_TYPE_HASH) {
    throw Napi::TypeError::New(env, "only the entries of a hash map can be listed");
  }
  // A few more: each CPU may hold one that takes another's place.
  uint32_t count = shape.max_entries + 256;
  std::vector<uint8_t> keys(static_cast<size_t>(count) * shape.key_size);
  std::vector<uint8_t> values(static_cast<size_t>(count) * shape.value_size);
  uint32_t next = 0;
  DECLARE_LIBBPF_OPTS(bpf_map_batch_opts, options);
  // With room for all there is, one call reaches the end and says ENOENT.
  if (bpf_map_lookup_batch(fd, nullptr, &next, keys.data(), values.data(), &count, &options) &&
      errno != ENOENT) {
    throw SystemError(env, "list the entries of a BPF map", errno);
  }
  const size_t width = shape.key_size + shape.value_size;
  Napi::Uint8Array entries = Napi::Uint8Array::New(env, width * count);
  for (size_t i = 0; i < count; i++) {
    uint8_t* entry = entries.Data() + i * width;
    std::memcpy(entry, keys.data() + i * shape.key_size, shape.key_size);
    std::memcpy(entry + shape.key_size, values.data() + i * shape.value_size, shape.value_size);
  }
  return entries;
}

// arrayWrite(fd, byteOffset, data: Uint8Array): into a BPF_F_MMAPABLE array.
// The mapping lasts only for the copy: mapped pages count in RSS.
Napi::Value ArrayWrite(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const int fd = DescriptorNumber(info[0]);
  const auto offset = static_cast<uint64_t>(WholeNumber(info[1], "byteOffset", 0, kMaxSafeInteger));
  Napi::Uint8Array data = Bytes(info[2], "data");
  const bpf_map_info shape = Shape(env, fd);
  // Elements of arrays lie at multiples of 8 bytes. Any other kind of file could
  // be shorter than the range: writing there would end the process.
  const uint64_t size = ((shape.value_size + 7ULL) & ~7ULL) * shape.max_entries;
  if (shape.type != BPF_MAP_TYPE_ARRAY || !(shape.map_flags & BPF_F_MMAPABLE) || offset > size ||
      data.ByteLength() > size - offset) {
    throw Napi::RangeError::New(env, "the range is not inside a BPF array that can be mapped");
  }
  if (data.ByteLength() == 0) return env.Undefined();
  const uint64_t page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  const uint64_t start = offset & ~(page - 1);
  const uint64_t length = offset + data.ByteLength() - start;
  Region region = Region::Map(fd, length, PROT_READ | PROT_WRITE, static_cast<off_t>(start));
  if (!region.data()) throw SystemError(env, "map a BPF array", errno);
  std::memcpy(region.data() + (offset - start), data.Data(), data.ByteLength());
  return env.Undefined();
}

}  // namespace

void InitMaps(Napi::Env env, Napi::Object exports) {
  exports.Set("mapUpdate", Napi::Function::New<MapUpdate>(env, "mapUpdate"));
  exports.Set("mapDelete", Napi::Function::New<MapDelete>(env, "mapDelete"));
  exports.Set("mapClear", Napi::Function::New<MapClear>(env, "mapClear"));
  exports.Set("mapEntries", Napi::Function::New<MapEntries>(env, "mapEntries"));
  exports.Set("arrayWrite", Napi::Function::New<ArrayWrite>(env, "arrayWrite"));
}

}  // namespace flametap
