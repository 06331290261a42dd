// SPDX-License-Identifier: Apache-2.0
// Calls that exist only in debug information: inline methods, templates, a lambda
// as comparator, inlining into a recursion. usage: inlined [SECONDS=2]
#include "report.h"

#include <algorithm>
#include <map>
#include <string>
#include <vector>

namespace store {

struct Item {
  unsigned id;
  double price;
};

static inline double discounted(double price, unsigned level) {
  for (unsigned i = 0; i < level; i++)
    price = price * 0.97 + 0.01;
  return price;
}

class Cart {
 public:
  void add(Item item) { items_.push_back(item); }

  double total(unsigned level) const {
    double sum = 0;
    for (const Item &item : items_)
      sum += discounted(item.price, level);
    return sum;
  }

  void order() {
    std::sort(items_.begin(), items_.end(),
              [](const Item &a, const Item &b) { return a.price < b.price; });
  }

 private:
  std::vector<Item> items_;
};

template <typename Number>
static inline Number remainder_of(Number x, Number y) {
  return y == 0 ? x : x % y + 1;
}

template <typename Number>
__attribute__((noinline)) Number reduced(Number x, Number y) {
  Number sum = 0;
  for (Number i = 1; i < 400; i++)
    sum += remainder_of(x + i, y);
  return y < 3 ? sum : sum + reduced(x, y - 2);
}

class Counter {
 public:
  virtual ~Counter() = default;
  virtual unsigned long count(unsigned round) = 0;
};

class Words final : public Counter {
 public:
  unsigned long count(unsigned round) override {
    for (unsigned i = 0; i < 60; i++)
      ++words_[key(round + i)];
    return words_.size();
  }

 private:
  static std::string key(unsigned n) { return std::string(1 + n % 20, static_cast<char>('a' + n % 26)); }

  std::map<std::string, unsigned long> words_;
};

__attribute__((noinline)) double checkout(unsigned round) {
  Cart cart;
  for (unsigned i = 0; i < 500; i++)
    cart.add({i, static_cast<double>((i * 7919 + round) % 1000)});
  cart.order();
  return cart.total(round % 40);
}

}  // namespace store

int main(int argc, char **argv) {
  double seconds = seconds_argument(argc, argv, 2);
  store::Words words;
  store::Counter &counter = words;
  volatile double sink = 0;
  volatile unsigned long odd = 7;
  for (unsigned round = 0; thread_cpu_seconds() < seconds; round++) {
    for (unsigned i = 0; i < 20; i++) {
      sink = sink + store::checkout(round + i);
      sink = sink + static_cast<double>(store::reduced<unsigned long>(round, odd));
      sink = sink + static_cast<double>(counter.count(round));
    }
  }
}
