// SPDX-License-Identifier: Apache-2.0
#include "sampler.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <linux/perf_event.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdarg>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "arguments.h"
#include "errors.h"
#include "events.h"
#include "signals.h"

namespace flametap {

namespace {

// What libbpf says is only worth reading when loading fails: kept until then.
thread_local std::string* log_target = nullptr;

int KeepLog(enum libbpf_print_level level, const char* format, va_list arguments) {
  if (!log_target || level == LIBBPF_DEBUG) return 0;
  char* text = nullptr;
  const int length = vasprintf(&text, format, arguments);
  if (length < 0) return 0;
  // The verifier's log can be megabytes; its end carries the reason.
  constexpr size_t kept = 4096;
  const auto size = static_cast<size_t>(length);
  log_target->append(text + (size > kept ? size - kept : 0));
  free(text);
  return 0;
}

class LogCapture {
 public:
  LogCapture() : outer_(log_target) {
    libbpf_set_print(KeepLog);
    log_target = &text_;
  }
  ~LogCapture() { log_target = outer_; }
  const std::string& text() const { return text_; }

 private:
  std::string* outer_;
  std::string text_;
};

constexpr size_t kSidebandPages = 16;
// NR_CPUS of the largest kernel configurations.
constexpr uint32_t kMaxCpus = 8192;
constexpr uint32_t kMaxRingBytes = 1u << 30;
constexpr uint32_t kMaxHz = 1'000'000;
// perf_event_header.size is 16 bits.
constexpr size_t kMaxPerfRecord = 65536;

}  // namespace

void Sampler::Init(Napi::Env env, Napi::Object exports) {
  exports.Set("Sampler",
              DefineClass(env, "Sampler",
                          {
                              InstanceMethod<&Sampler::Attach>("attach"),
                              InstanceMethod<&Sampler::Watch>("watch"),
                              InstanceMethod<&Sampler::Unwatch>("unwatch"),
                              InstanceMethod<&Sampler::EventTimes>("eventTimes"),
                              InstanceMethod<&Sampler::Drain>("drain"),
                              InstanceMethod<&Sampler::DrainSideband>("drainSideband"),
                              InstanceMethod<&Sampler::Counters>("counters"),
                              InstanceMethod<&Sampler::MapDescriptor>("mapDescriptor"),
                              InstanceMethod<&Sampler::RunStats>("runStats"),
                              InstanceMethod<&Sampler::EnableRunStats>("enableRunStats"),
                              InstanceMethod<&Sampler::DisableRunStats>("disableRunStats"),
                              InstanceMethod<&Sampler::MapMemory>("mapMemory"),
                              InstanceMethod<&Sampler::OnReadable>("onReadable"),
                              InstanceMethod<&Sampler::Close>("close"),
                          }));
}

Sampler::Sampler(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Sampler>(info) {
  Napi::Env env = info.Env();
  Napi::Object options = PlainObject(info[0], "options");
  const std::string path = Text(options.Get("object"), "object");
  cpus_ = static_cast<uint32_t>(WholeNumber(options.Get("cpus"), "cpus", 1, kMaxCpus));
  ring_bytes_ =
      static_cast<uint32_t>(WholeNumber(options.Get("ringBytes"), "ringBytes", 1, kMaxRingBytes));
  Napi::Object entries = PlainObject(options.Get("entries"), "entries");
  Napi::Object config = PlainObject(options.Get("config"), "config");

  const SignalsBlocked signals;
  LogCapture log;
  object_.reset(bpf_object__open_file(path.c_str(), nullptr));
  if (!object_) throw SystemError(env, "open BPF object " + path, errno, log.text());

  Napi::Array names = entries.GetPropertyNames();
  for (uint32_t i = 0; i < names.Length(); i++) {
    const std::string name = names.Get(i).As<Napi::String>();
    bpf_map* map = bpf_object__find_map_by_name(object_.get(), name.c_str());
    if (!map) throw SystemError(env, "no BPF map " + name, ENOENT);
    bpf_map__set_max_entries(
        map, static_cast<uint32_t>(WholeNumber(entries.Get(name), name.c_str(), 1, UINT32_MAX)));
  }
  Configure(env, config);
  Load(env);
  Introduce(env);
  epoll_ = Descriptor(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_.valid()) throw SystemError(env, "epoll_create1", errno);
  rings_.resize(cpus_);
  bpf_program* program;
  bpf_object__for_each_program(program, object_.get()) {
    if (bpf_program__type(program) != BPF_PROG_TYPE_TRACING) continue;
    AttachProgram(env, program, log.text());
  }
}

Sampler::~Sampler() { CloseAll(); }

// Sets read-only variables by name; the object's own BTF says where they are.
void Sampler::Configure(Napi::Env env, const Napi::Object& config) {
  bpf_map* map = nullptr;
  bpf_object__for_each_map(map, object_.get()) {
    if (std::strstr(bpf_map__name(map), ".rodata")) break;
  }
  size_t size = 0;
  // const in libbpf 1.1, not const from 1.2 on: changed in a copy.
  const void* initial = map ? bpf_map__initial_value(map, &size) : nullptr;
  const btf* types = bpf_object__btf(object_.get());
  const int section = types ? btf__find_by_name_kind(types, ".rodata", BTF_KIND_DATASEC) : -1;
  if (!initial || section < 0) throw SystemError(env, "BPF object has no .rodata", ENOENT);
  std::string values(static_cast<const char*>(initial), size);
  const btf_type* data = btf__type_by_id(types, static_cast<uint32_t>(section));
  Napi::Array names = config.GetPropertyNames();
  for (uint32_t i = 0; i < names.Length(); i++) {
    const std::string name = names.Get(i).As<Napi::String>();
    Napi::Uint8Array value = Bytes(config.Get(name), name.c_str());
    bool found = false;
    const btf_var_secinfo* variable = btf_var_secinfos(data);
    for (uint16_t k = 0; k < btf_vlen(data); k++, variable++) {
      const btf_type* type = btf__type_by_id(types, variable->type);
      if (name != btf__name_by_offset(types, type->name_off)) continue;
      if (value.ByteLength() != variable->size || variable->offset + variable->size > size) {
        throw SystemError(env, "BPF variable " + name + " has another size", EINVAL);
      }
      std::memcpy(values.data() + variable->offset, value.Data(), value.ByteLength());
      found = true;
    }
    if (!found) throw SystemError(env, "no BPF variable " + name, ENOENT);
  }
  if (int error = bpf_map__set_initial_value(map, values.data(), values.size())) {
    throw SystemError(env, "set BPF variables", -error);
  }
}

void Sampler::Load(Napi::Env env) {
  LogCapture log;
  bpf_map* rings = bpf_object__find_map_by_name(object_.get(), "ft_rings");
  if (!rings) throw SystemError(env, "no BPF map ft_rings", ENOENT);
  Descriptor shape(bpf_map_create(BPF_MAP_TYPE_RINGBUF, "ft_ring", 0, 0, ring_bytes_, nullptr));
  if (!shape.valid()) throw SystemError(env, "create a BPF ring buffer", errno);
  bpf_map__set_max_entries(rings, cpus_ + 1);
  bpf_map__set_inner_map_fd(rings, shape.get());
  if (int error = bpf_object__load(object_.get())) {
    throw SystemError(env, "load BPF programs", -error, log.text());
  }
}

// Tells the programs by what our events are known.
void Sampler::Introduce(Napi::Env env) {
  bpf_program* program = bpf_object__find_program_by_name(object_.get(), "ft_sample");
  bpf_map* map = bpf_object__find_map_by_name(object_.get(), "ft_sampler");
  if (!program || !map) throw SystemError(env, "no BPF program ft_sample", ENOENT);
  bpf_prog_info details = {};
  uint32_t length = sizeof(details);
  const uint32_t zero = 0;
  if (bpf_obj_get_info_by_fd(bpf_program__fd(program), &details, &length) ||
      bpf_map_update_elem(bpf_map__fd(map), &zero, &details.id, 0)) {
    throw SystemError(env, "introduce the sampler", errno);
  }
}

// The first one also serves, one place behind the last CPU, CPUs that have none yet.
void Sampler::EnsureRing(Napi::Env env, uint32_t cpu) {
  const int outer = bpf_map__fd(bpf_object__find_map_by_name(object_.get(), "ft_rings"));
  if (!rings_[cpu]) {
    Descriptor map(bpf_map_create(BPF_MAP_TYPE_RINGBUF, "ft_ring", 0, 0, ring_bytes_, nullptr));
    if (!map.valid()) throw SystemError(env, "create a BPF ring buffer", errno);
    const int fd = map.get();
    auto ring = std::make_unique<BpfRing>(std::move(map), ring_bytes_);
    if (!ring->ok()) throw SystemError(env, "map a BPF ring buffer", errno);
    epoll_event event = {};
    event.events = EPOLLIN;
    event.data.u32 = cpu;
    if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event)) {
      throw SystemError(env, "watch a BPF ring buffer", errno);
    }
    if (bpf_map_update_elem(outer, &cpu, &fd, 0)) {
      throw SystemError(env, "install a BPF ring buffer", errno);
    }
    rings_[cpu] = std::move(ring);
  }
  const int common = rings_[cpu]->fd();
  if (!has_common_ring_ && bpf_map_update_elem(outer, &cpus_, &common, 0)) {
    throw SystemError(env, "install the common BPF ring buffer", errno);
  }
  has_common_ring_ = true;
}

void Sampler::AttachProgram(Napi::Env env, bpf_program* program, const std::string& log) {
  bpf_link* link = bpf_program__attach(program);
  if (!link)
    throw SystemError(env, std::string("attach ") + bpf_program__name(program), errno, log);
  links_.emplace_back(link);
}

// attach(program): for those that not every kernel can have.
Napi::Value Sampler::Attach(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const std::string name = Text(info[0], "program");
  if (!object_) throw SystemError(env, "sampler is closed", EBADF);
  bpf_program* program = bpf_object__find_program_by_name(object_.get(), name.c_str());
  if (!program) throw SystemError(env, "no BPF program " + name, ENOENT);
  const SignalsBlocked signals;
  LogCapture log;
  AttachProgram(env, program, log.text());
  return env.Undefined();
}

// watch(cpu, hz): starts sampling and the side band (new mappings) on a CPU.
Napi::Value Sampler::Watch(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const auto cpu = static_cast<uint32_t>(WholeNumber(info[0], "cpu", 0, kMaxCpus - 1));
  const auto hz = static_cast<uint32_t>(WholeNumber(info[1], "hz", 1, kMaxHz));
  const std::string where = " on CPU " + std::to_string(cpu);
  if (!object_) throw SystemError(env, "sampler is closed", EBADF);
  if (cpu >= cpus_) throw SystemError(env, "there can be no such CPU" + where, ENODEV);
  const SignalsBlocked signals;
  EnsureRing(env, cpu);

  // The side band first: a mapping made before the first sample must be known.
  Watched watched;
  Descriptor mappings = OpenMappings(cpu);
  if (!mappings.valid()) throw SystemError(env, "perf_event_open (mappings)" + where, errno);
  watched.sideband = std::make_unique<PerfRing>(std::move(mappings), kSidebandPages);
  if (!watched.sideband->ok()) throw SystemError(env, "map the side-band ring" + where, errno);
  watched.event = OpenTicks(cpu, hz);
  if (!watched.event.valid()) throw SystemError(env, "perf_event_open (cpu-clock)" + where, errno);
  bpf_program* program = bpf_object__find_program_by_name(object_.get(), "ft_sample");
  if (!program) throw SystemError(env, "no BPF program ft_sample", ENOENT);
  if (ioctl(watched.event.get(), PERF_EVENT_IOC_SET_BPF, bpf_program__fd(program))) {
    throw SystemError(env, "attach the sampler" + where, errno);
  }
  watched_[cpu] = std::move(watched);
  return env.Undefined();
}

Napi::Value Sampler::Unwatch(const Napi::CallbackInfo& info) {
  const auto found =
      watched_.find(static_cast<uint32_t>(WholeNumber(info[0], "cpu", 0, kMaxCpus - 1)));
  if (found == watched_.end()) return info.Env().Undefined();
  // The last samples, still in the BPF ring, may need the last mappings.
  ioctl(found->second.sideband->fd(), PERF_EVENT_IOC_DISABLE, 0);
  retired_.push_back(std::move(found->second.sideband));
  watched_.erase(found);
  return info.Env().Undefined();
}

// eventTimes(cpu): [enabled, counted], nanoseconds since watch(): how long the kernel has
// kept the event, and the part of it in which its timer ran; undefined when it is in error.
Napi::Value Sampler::EventTimes(const Napi::CallbackInfo& info) {
  const auto found =
      watched_.find(static_cast<uint32_t>(WholeNumber(info[0], "cpu", 0, kMaxCpus - 1)));
  if (found == watched_.end()) return info.Env().Undefined();
  uint64_t values[2];  // as read_format says: the value first
  if (read(found->second.event.get(), values, sizeof(values)) != sizeof(values)) {
    return info.Env().Undefined();
  }
  Napi::BigUint64Array times = Napi::BigUint64Array::New(info.Env(), 2);
  times[0] = values[1];
  times[1] = values[0];
  return times;
}

// drain(into: Uint8Array): bytes written, whole records, CPUs in turn. `into`
// must hold a whole ring: a ring is only begun when all of it would fit, as a
// record larger than the room left would otherwise be dropped as too large.
Napi::Value Sampler::Drain(const Napi::CallbackInfo& info) {
  Napi::Uint8Array into = Bytes(info[0], "into");
  if (into.ByteLength() < ring_bytes_) {
    throw Napi::RangeError::New(info.Env(), "into must be at least as large as a ring");
  }
  size_t written = 0;
  size_t done = 0;
  for (; done < rings_.size() && into.ByteLength() - written >= ring_bytes_; done++) {
    const auto& ring = rings_[(next_ring_ + done) % rings_.size()];
    if (ring) written += ring->Drain(into.Data() + written, into.ByteLength() - written);
  }
  // Whoever was left out comes first next time.
  if (!rings_.empty()) next_ring_ = (next_ring_ + done) % rings_.size();
  return Napi::Number::New(info.Env(), static_cast<double>(written));
}

// drainSideband(into: Uint8Array): bytes written, those of CPUs no longer watched first.
Napi::Value Sampler::DrainSideband(const Napi::CallbackInfo& info) {
  Napi::Uint8Array into = Bytes(info[0], "into");
  if (into.ByteLength() < kMaxPerfRecord) {
    throw Napi::RangeError::New(info.Env(), "into must hold the largest perf record");
  }
  size_t written = 0;
  auto drain = [&](PerfRing& ring) {
    const size_t bytes = ring.Drain(into.Data() + written, into.ByteLength() - written);
    written += bytes;
    return bytes;
  };
  std::erase_if(retired_, [&](auto& ring) {
    return into.ByteLength() - written >= kMaxPerfRecord && drain(*ring) == 0;
  });
  // The CPU after the last one first, so that a busy one cannot starve the others.
  auto at = watched_.upper_bound(last_sideband_);
  for (size_t i = 0; i < watched_.size(); i++) {
    if (at == watched_.end()) at = watched_.begin();
    if (into.ByteLength() - written < kMaxPerfRecord) break;
    drain(*at->second.sideband);
    last_sideband_ = at->first;
    ++at;
  }
  return Napi::Number::New(info.Env(), static_cast<double>(written));
}

// counters(): Float64Array, summed over CPUs, in the order of enum ft_counter.
Napi::Value Sampler::Counters(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (!object_) throw SystemError(env, "sampler is closed", EBADF);
  bpf_map* map = bpf_object__find_map_by_name(object_.get(), "ft_counts");
  const size_t width = bpf_map__value_size(map) / 8;
  const int possible = libbpf_num_possible_cpus();
  std::vector<uint64_t> values(width * static_cast<size_t>(possible > 0 ? possible : 0));
  const uint32_t zero = 0;
  if (bpf_map_lookup_elem(bpf_map__fd(map), &zero, values.data())) {
    throw SystemError(env, "read BPF counters", errno);
  }
  Napi::Float64Array sums = Napi::Float64Array::New(env, width);
  for (size_t i = 0; i < width; i++) sums[i] = 0;
  for (size_t i = 0; i < values.size(); i++) sums[i % width] += static_cast<double>(values[i]);
  return sums;
}

Napi::Value Sampler::MapDescriptor(const Napi::CallbackInfo& info) {
  const std::string name = Text(info[0], "name");
  bpf_map* map = object_ ? bpf_object__find_map_by_name(object_.get(), name.c_str()) : nullptr;
  if (!map) throw SystemError(info.Env(), "no BPF map " + name, ENOENT);
  return Napi::Number::New(info.Env(), bpf_map__fd(map));
}

// enableRunStats(): the kernel counts run time until disableRunStats() or as
// long as this object lives. The sysctl would be global and other tools switch it off.
Napi::Value Sampler::EnableRunStats(const Napi::CallbackInfo& info) {
  run_stats_ = Descriptor(bpf_enable_stats(BPF_STATS_RUN_TIME));
  if (!run_stats_.valid()) throw SystemError(info.Env(), "enable BPF run-time statistics", errno);
  return info.Env().Undefined();
}

// disableRunStats(): what was counted stays.
Napi::Value Sampler::DisableRunStats(const Napi::CallbackInfo& info) {
  run_stats_ = Descriptor();
  return info.Env().Undefined();
}

// runStats(): [{program, runs, nanoseconds}]
Napi::Value Sampler::RunStats(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Napi::Array result = Napi::Array::New(env);
  if (!object_) return result;
  uint32_t n = 0;
  bpf_program* program;
  bpf_object__for_each_program(program, object_.get()) {
    bpf_prog_info details = {};
    uint32_t length = sizeof(details);
    if (bpf_obj_get_info_by_fd(bpf_program__fd(program), &details, &length)) continue;
    Napi::Object row = Napi::Object::New(env);
    row.Set("program", bpf_program__name(program));
    row.Set("runs", static_cast<double>(details.run_cnt));
    row.Set("nanoseconds", static_cast<double>(details.run_time_ns));
    result.Set(n++, row);
  }
  return result;
}

// mapMemory(): bytes that the kernel holds for our maps and rings.
Napi::Value Sampler::MapMemory(const Napi::CallbackInfo& info) {
  double total = 0;
  auto add = [&total](int fd) {
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
    FILE* file = fopen(path, "re");
    if (!file) return;
    char line[256];
    while (fgets(line, sizeof(line), file)) {
      unsigned long long bytes = 0;
      if (sscanf(line, "memlock: %llu", &bytes) == 1) total += static_cast<double>(bytes);
    }
    fclose(file);
  };
  bpf_map* map;
  if (object_) {
    bpf_object__for_each_map(map, object_.get()) add(bpf_map__fd(map));
  }
  for (const auto& ring : rings_) {
    if (ring) add(ring->fd());
  }
  return Napi::Number::New(info.Env(), total);
}

// onReadable(callback): called when a ring has passed its watermark.
Napi::Value Sampler::OnReadable(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (!info[0].IsFunction()) throw Napi::TypeError::New(env, "callback must be a function");
  if (!object_) throw SystemError(env, "sampler is closed", EBADF);
  StopPolling();
  on_readable_ = Napi::Persistent(info[0].As<Napi::Function>());
  async_context_ = std::make_unique<Napi::AsyncContext>(env, "flametap:ring");
  uv_loop_t* loop = nullptr;
  napi_get_uv_event_loop(env, &loop);
  poll_ = new uv_poll_t;
  poll_->data = this;
  if (int error = uv_poll_init(loop, poll_, epoll_.get())) {
    delete poll_;
    poll_ = nullptr;
    throw SystemError(env, "watch rings", -error);
  }
  uv_poll_start(poll_, UV_READABLE, [](uv_poll_t* handle, int, int) {
    auto* self = static_cast<Sampler*>(handle->data);
    // By hand: a thread that is being terminated runs no JavaScript, not even what the
    // wrappers call to make an error of that, and then they end the whole process.
    napi_env env = self->on_readable_.Env();
    napi_handle_scope scope;
    if (napi_open_handle_scope(env, &scope) != napi_ok) return;
    napi_value receiver, callback, error;
    if (napi_get_global(env, &receiver) == napi_ok &&
        napi_get_reference_value(env, self->on_readable_, &callback) == napi_ok &&
        napi_make_callback(env, *self->async_context_, receiver, callback, 0, nullptr, nullptr) ==
            napi_pending_exception &&
        napi_get_and_clear_last_exception(env, &error) == napi_ok) {
      // JavaScript made it: it belongs to process 'uncaughtException'.
      napi_fatal_exception(env, error);
    }
    napi_close_handle_scope(env, scope);
  });
  return env.Undefined();
}

void Sampler::StopPolling() {
  if (!poll_) return;
  uv_poll_stop(poll_);
  uv_close(reinterpret_cast<uv_handle_t*>(poll_),
           [](uv_handle_t* handle) { delete reinterpret_cast<uv_poll_t*>(handle); });
  poll_ = nullptr;
  on_readable_.Reset();
  async_context_.reset();
}

void Sampler::CloseAll() {
  StopPolling();
  watched_.clear();
  retired_.clear();
  links_.clear();
  rings_.clear();
  epoll_.Close();
  run_stats_.Close();
  object_.reset();
}

Napi::Value Sampler::Close(const Napi::CallbackInfo& info) {
  CloseAll();
  return info.Env().Undefined();
}

}  // namespace flametap
