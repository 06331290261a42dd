// SPDX-License-Identifier: Apache-2.0
#include "ring.h"

#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

namespace flametap {

namespace {

size_t PageSize() { return static_cast<size_t>(sysconf(_SC_PAGESIZE)); }

constexpr size_t Align8(size_t n) { return (n + 7) & ~size_t{7}; }

}  // namespace

BpfRing::BpfRing(Descriptor map, size_t bytes) : map_(std::move(map)), mask_(bytes - 1) {
  const size_t page = PageSize();
  consumer_ = Region::Map(map_.get(), page, PROT_READ | PROT_WRITE, 0);
  if (!consumer_.data()) return;
  data_ = Region::Map(map_.get(), page + 2 * bytes, PROT_READ, static_cast<off_t>(page));
}

size_t BpfRing::Drain(uint8_t* into, size_t capacity) {
  auto* consumer_position = reinterpret_cast<uint64_t*>(consumer_.data());
  auto* producer_position = reinterpret_cast<uint64_t*>(data_.data());
  const char* records = data_.data() + PageSize();
  uint64_t position = __atomic_load_n(consumer_position, __ATOMIC_RELAXED);
  const uint64_t end = __atomic_load_n(producer_position, __ATOMIC_ACQUIRE);
  size_t written = 0;
  while (position < end) {
    const char* at = records + (position & mask_);
    const uint32_t header =
        __atomic_load_n(reinterpret_cast<const uint32_t*>(at), __ATOMIC_ACQUIRE);
    if (header & BPF_RINGBUF_BUSY_BIT) break;
    const size_t length = header & ~(BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT);
    if (!(header & BPF_RINGBUF_DISCARD_BIT)) {
      // A record may be reserved larger than it turned out: its own first word
      // (ft_header.length) says how much of it counts.
      uint32_t used = 0;
      if (length >= sizeof(used)) std::memcpy(&used, at + BPF_RINGBUF_HDR_SZ, sizeof(used));
      if (used == 0 || used > length || used > capacity) {
        oversized_++;
      } else if (used > capacity - written) {
        break;
      } else {
        std::memcpy(into + written, at + BPF_RINGBUF_HDR_SZ, used);
        written += Align8(used);
      }
    }
    position += Align8(length + BPF_RINGBUF_HDR_SZ);
    __atomic_store_n(consumer_position, position, __ATOMIC_RELEASE);
  }
  return written;
}

PerfRing::PerfRing(Descriptor event, size_t pages)
    : event_(std::move(event)), bytes_(pages * PageSize()) {
  area_ = Region::Map(event_.get(), PageSize() + bytes_, PROT_READ | PROT_WRITE, 0);
}

size_t PerfRing::Drain(uint8_t* into, size_t capacity) {
  auto* control = reinterpret_cast<perf_event_mmap_page*>(area_.data());
  const char* data = area_.data() + PageSize();
  const uint64_t head = __atomic_load_n(&control->data_head, __ATOMIC_ACQUIRE);
  uint64_t tail = control->data_tail;
  size_t written = 0;
  while (tail < head) {
    perf_event_header header;
    // Records are 8-byte aligned, so a header never wraps.
    std::memcpy(&header, data + tail % bytes_, sizeof(header));
    if (header.size < sizeof(header) || header.size > head - tail) {
      tail = head;  // the ring contradicts itself: start afresh
      break;
    }
    if (header.size > capacity - written) break;
    const size_t offset = tail % bytes_;
    const size_t first = std::min<size_t>(header.size, bytes_ - offset);
    std::memcpy(into + written, data + offset, first);
    std::memcpy(into + written + first, data, header.size - first);
    written += header.size;
    tail += header.size;
  }
  __atomic_store_n(&control->data_tail, tail, __ATOMIC_RELEASE);
  return written;
}

}  // namespace flametap
