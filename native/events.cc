// SPDX-License-Identifier: Apache-2.0
#include "events.h"

#include <linux/perf_event.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

namespace flametap {

namespace {

Descriptor Open(perf_event_attr* attributes, uint32_t cpu) {
  return Descriptor(static_cast<int>(syscall(SYS_perf_event_open, attributes, -1,
                                             static_cast<int>(cpu), -1, PERF_FLAG_FD_CLOEXEC)));
}

}  // namespace

Descriptor OpenMappings(uint32_t cpu) {
  perf_event_attr side = {};
  side.size = sizeof(side);
  side.type = PERF_TYPE_SOFTWARE;
  side.config = PERF_COUNT_SW_DUMMY;
  side.mmap = 1;
  side.mmap2 = 1;
  side.comm = 1;
  side.comm_exec = 1;
  side.ksymbol = 1;
  side.sample_id_all = 1;
  side.sample_type = PERF_SAMPLE_TID | PERF_SAMPLE_TIME;
  side.use_clockid = 1;
  side.clockid = CLOCK_MONOTONIC;
  side.watermark = 1;
  side.wakeup_watermark = 1u << 30;  // never: it is read with the samples
  return Open(&side, cpu);
}

Descriptor OpenTicks(uint32_t cpu, uint32_t hz) {
  perf_event_attr tick = {};
  tick.size = sizeof(tick);
  tick.type = PERF_TYPE_SOFTWARE;
  tick.config = PERF_COUNT_SW_CPU_CLOCK;
  tick.freq = 1;
  tick.sample_freq = hz;
  // Also because an idle CPU has no scheduler tick: the kernel would throttle the
  // event after max_samples_per_tick ticks, and with it the first busy moments.
  tick.exclude_idle = 1;
  tick.read_format = PERF_FORMAT_TOTAL_TIME_ENABLED;
  return Open(&tick, cpu);
}

}  // namespace flametap
