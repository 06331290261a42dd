// Test driver for flametap_demangle, built by demangle.test.ts with AddressSanitizer.
//   demangle-stress print          names on stdin, one per line: the readable form of each, or the
//   name demangle-stress time           as above: milliseconds and 0 or 1 for each demangle-stress
//   mutate COUNT   COUNT damaged mixtures of the names on stdin; prints the slowest in ms
// Name and buffer lie against pages without access, because libiberty itself is
// not instrumented: a byte too far ends the process.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include <string>
#include <vector>

#include "../demangle.h"

namespace {

constexpr size_t kRegion = 1 << 20;
constexpr size_t kPage = 4096;

// The end of a readable region; the byte at the end itself is not accessible.
char* guardedEnd() {
  void* region = mmap(nullptr, kRegion, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (region == MAP_FAILED) abort();
  char* end = static_cast<char*>(region) + kRegion - kPage;
  if (mprotect(end, kPage, PROT_NONE) != 0) abort();
  return end;
}

double milliseconds() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}

class Random {
 public:
  size_t below(size_t limit) {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return static_cast<size_t>(state_ >> 11) % limit;
  }

 private:
  unsigned long long state_ = 88172645463325252ULL;
};

const char* const kPieces[] = {"S_", "S0_", "S1_",  "T_",  "T0_", "Dp", "sp",  "cv",
                               "I",  "E",   "J",    "F",   "G",   "B_", "B0_", "u5",
                               "N",  "M",   "PPPP", "L_Z", "Ul",  "K",  "Gz9_"};
constexpr size_t kPieceCount = sizeof(kPieces) / sizeof(kPieces[0]);

void damage(std::string* name, const std::vector<std::string>& names, Random* random) {
  for (size_t changes = 1 + random->below(6); changes > 0 && !name->empty(); changes--) {
    const size_t at = random->below(name->size());
    const std::string& other = names[random->below(names.size())];
    switch (random->below(5)) {
      case 0:
        (*name)[at] = static_cast<char>(1 + random->below(255));
        break;
      case 1:
        name->erase(at, 1 + random->below(8));
        break;
      case 2:
        name->insert(at, name->substr(random->below(name->size()), random->below(64)));
        break;
      case 3:
        name->insert(at, other.substr(random->below(other.size() + 1), random->below(128)));
        break;
      default:
        name->insert(at, kPieces[random->below(kPieceCount)]);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::string mode = argc > 1 ? argv[1] : "";
  std::vector<std::string> names;
  static char line[1 << 17];
  while (fgets(line, sizeof(line), stdin) != nullptr) {
    line[strcspn(line, "\n")] = 0;
    names.push_back(line);
  }
  if (names.empty()) return 2;
  char* const nameEnd = guardedEnd();
  char* const outEnd = guardedEnd();
  Random random;
  const long count = mode == "mutate" ? atol(argv[2]) : static_cast<long>(names.size());
  double slowest = 0;
  for (long index = 0; index < count; index++) {
    std::string name = names[static_cast<size_t>(index) % names.size()];
    size_t capacity = 65536;
    if (mode == "mutate") {
      damage(&name, names, &random);
      if (random.below(4) == 0) capacity = 1 + random.below(64);
    }
    const size_t size = strlen(name.c_str()) + 1;
    char* mangled = static_cast<char*>(memcpy(nameEnd - size, name.c_str(), size));
    char* out = outEnd - capacity;
    const double start = milliseconds();
    const bool done = flametap_demangle(mangled, out, capacity);
    const double took = milliseconds() - start;
    if (took > slowest) slowest = took;
    if (strnlen(out, capacity) == capacity || done != (out[0] != 0)) abort();
    if (mode == "print") puts(done ? out : mangled);
    if (mode == "time") printf("%.1f %d\n", took, done);
  }
  if (mode == "mutate") printf("%.1f\n", slowest);
  return 0;
}
