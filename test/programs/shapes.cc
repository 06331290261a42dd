// SPDX-License-Identifier: Apache-2.0
// C++: templates, lambdas behind std::function, virtual calls, exceptions thrown
// and caught, a comparator inside std::sort. usage: shapes [SECONDS=2]
#include "report.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <stdexcept>
#include <vector>

namespace shapes {

template <int N>
struct Level {
  FRAME static uint64_t down(uint64_t x) {
    volatile char pad[N * 16 + 8];
    pad[0] = static_cast<char>(x);
    return Level<N - 1>::down(x ^ N) + static_cast<uint64_t>(pad[0]);
  }
};

template <>
struct Level<0> {
  FRAME static uint64_t down(uint64_t x) { return mix(x, 3000) + 1; }
};

class Worker {
 public:
  virtual ~Worker() = default;
  virtual uint64_t work(uint64_t x) = 0;
};

class Thrower final : public Worker {
 public:
  FRAME uint64_t work(uint64_t x) override {
    try {
      throw_deep(static_cast<int>(x & 7) + 3);
    } catch (const std::runtime_error &error) {
      x += static_cast<uint64_t>(error.what()[0]);
    }
    return x + 1;
  }

 private:
  FRAME void throw_deep(int depth) {
    if (depth == 0) throw std::runtime_error("deep");
    throw_deep(depth - 1);
    sink_++;
  }
  volatile uint64_t sink_ = 0;
};

FRAME uint64_t sorted(uint64_t x) {
  std::vector<uint64_t> values(512);
  for (auto &value : values) value = x = mix(x, 1);
  std::sort(values.begin(), values.end(), [](uint64_t a, uint64_t b) { return (a ^ 5) < (b ^ 5); });
  return values[17];
}

FRAME uint64_t apply(const std::function<uint64_t(uint64_t)> &function, uint64_t x) { return function(x) + 1; }

}  // namespace shapes

int main(int argc, char **argv) {
  double end = thread_cpu_seconds() + seconds_argument(argc, argv, 2);
  volatile uint64_t sink = 1;
  std::unique_ptr<shapes::Worker> worker = std::make_unique<shapes::Thrower>();
  do {
    for (int i = 0; i < 20; i++) {
      sink += shapes::apply([&](uint64_t x) { return shapes::Level<6>::down(x + sink) + 1; }, sink);
      sink += shapes::sorted(sink);
    }
    sink += worker->work(sink);
  } while (thread_cpu_seconds() < end);
  report("shapes", "[[\"main\",\"shapes::apply\",\"shapes::Level<6>::down\",\"shapes::Level<0>::down\"],"
                   "[\"main\",\"shapes::sorted\"],[\"main\",\"shapes::Thrower::work\"]]");
  return 0;
}
