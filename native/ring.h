// SPDX-License-Identifier: Apache-2.0
// Readers of the two kinds of shared ring: BPF ring buffers and perf's own.
// Both copy whole records into a caller's buffer and stop when it is full, so
// that a fast producer can never keep a reader busy for ever.
#pragma once

#include <cstdint>

#include "descriptor.h"

namespace flametap {

// BPF_MAP_TYPE_RINGBUF: one page of consumer position, one of producer
// position, then the data, mapped twice in a row.
class BpfRing {
 public:
  // errno is set and ok() is false when mapping failed.
  BpfRing(Descriptor map, size_t bytes);
  bool ok() const { return data_.data() != nullptr; }
  int fd() const { return map_.get(); }
  // Copies whole records; returns the bytes written. A record larger than the
  // whole of `capacity` is dropped and counted in oversized().
  size_t Drain(uint8_t* into, size_t capacity);
  uint64_t oversized() const { return oversized_; }

 private:
  Descriptor map_;
  Region consumer_;
  Region data_;
  uint64_t mask_ = 0;
  uint64_t oversized_ = 0;
};

// The mmap area of perf_event_open: a control page, then 2^n pages of records.
class PerfRing {
 public:
  PerfRing(Descriptor event, size_t pages);
  bool ok() const { return area_.data() != nullptr; }
  int fd() const { return event_.get(); }
  // Copies whole records, each padded to 8 bytes as perf writes them.
  size_t Drain(uint8_t* into, size_t capacity);

 private:
  Descriptor event_;
  Region area_;
  size_t bytes_ = 0;
};

}  // namespace flametap
