// SPDX-License-Identifier: Apache-2.0
// Owners of a file descriptor and of a memory mapping.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <utility>

namespace flametap {

class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    if (this != &other) {
      Close();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  ~Descriptor() { Close(); }
  int get() const { return fd_; }
  int Release() { return std::exchange(fd_, -1); }
  bool valid() const { return fd_ >= 0; }
  void Close() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }

 private:
  int fd_ = -1;
};

class Region {
 public:
  Region() = default;
  Region(void* address, size_t length) : address_(address), length_(length) {}
  Region(Region&& other) noexcept
      : address_(std::exchange(other.address_, nullptr)),
        length_(std::exchange(other.length_, 0)) {}
  Region& operator=(Region&& other) noexcept {
    if (this != &other) {
      Unmap();
      address_ = std::exchange(other.address_, nullptr);
      length_ = std::exchange(other.length_, 0);
    }
    return *this;
  }
  ~Region() { Unmap(); }
  // nullopt-like: data() is null when mmap failed, errno tells why.
  static Region Map(int fd, size_t length, int protection, off_t offset) {
    void* address = mmap(nullptr, length, protection, MAP_SHARED, fd, offset);
    return address == MAP_FAILED ? Region() : Region(address, length);
  }
  char* data() const { return static_cast<char*>(address_); }
  size_t size() const { return length_; }

 private:
  void Unmap() {
    if (address_) munmap(address_, length_);
    address_ = nullptr;
  }
  void* address_ = nullptr;
  size_t length_ = 0;
};

}  // namespace flametap
