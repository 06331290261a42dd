// Demangling with libiberty's cp-demangle and rust-demangle: one library for
// C++, Rust v0 and the older Rust scheme, with recursion limits (LLVM's has
// none), output by callback (so that it can be cut) and a licence exception
// that allows linking these two files into anything. libiberty.a is PIC.
//
// Names come from strangers' files, so three things are added:
// - output: back references double it with every few bytes of name; the
//   callback jumps out when the buffer is full.
// - time: some loops print nothing and so never get there. Looking for the pack
//   of a C++ `Dp` expansion walks a doubled tree (150 bytes of name took 2 s),
//   a Rust binder counts to 2^62 in a part that is not shown. Names that could
//   do so run on a thread that is cancelled after 50 ms of its CPU. Cancelling
//   is safe where it can happen: those loops neither allocate nor lock.
// - stack: the library refuses C++ names above 1,024 bytes, as its tables live
//   on the stack (80 bytes for each of the name). Longer ones get a stack to match.

#include "demangle.h"

#include <dlfcn.h>
#include <pthread.h>
#include <setjmp.h>
#include <string.h>
#include <time.h>

#include <optional>

#include "signals.h"

// glibc declares basename() for C++ with other types than libiberty.h would.
#define HAVE_DECL_BASENAME 1
#include <libiberty/demangle.h>

// rust-demangle needs libiberty's table of character classes, whose own file
// (safe-ctype.c) has no linking exception. This is that table for ASCII, with
// the bits of libiberty's safe-ctype.h; being defined here, it keeps the
// archive's member out of the link.
namespace {
struct CharacterClasses {
  unsigned short bits[256];
};

constexpr CharacterClasses makeClasses() {
  CharacterClasses classes{};
  for (int c = 0; c < 128; c++) {
    const bool digit = c >= '0' && c <= '9';
    const bool lower = c >= 'a' && c <= 'z';
    const bool upper = c >= 'A' && c <= 'Z';
    const bool hex = digit || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
    const bool print = c >= 0x20 && c < 0x7f;
    const bool vertical = c == '\n' || c == '\r';
    const bool blank = c == ' ' || c == '\t';
    const bool space = blank || (c >= '\n' && c <= '\r');
    unsigned bits = 0;
    if (blank) bits |= 0x0001;
    if (!print) bits |= 0x0002;
    if (digit) bits |= 0x0004;
    if (lower) bits |= 0x0008;
    if (print) bits |= 0x0010;
    if (print && c != ' ' && !digit && !lower && !upper) bits |= 0x0020;
    if (space) bits |= 0x0040;
    if (upper) bits |= 0x0080;
    if (hex) bits |= 0x0100;
    if (lower || upper || c == '_') bits |= 0x0200;
    if (vertical) bits |= 0x0400;
    if (space && !vertical) bits |= 0x0800;
    classes.bits[c] = static_cast<unsigned short>(bits);
  }
  return classes;
}
constexpr CharacterClasses kClasses = makeClasses();
}  // namespace

extern "C" {
__attribute__((visibility("hidden"))) extern const CharacterClasses _sch_istable;
const CharacterClasses _sch_istable = kClasses;
}

namespace {

constexpr size_t kLibraryLimit = 1024;
// Shorter names cannot double often enough to take a millisecond: a level of
// back references costs 8 bytes, so 96 bytes are at most 2^12 nodes.
constexpr size_t kQuickLength = 96;
constexpr long kMaxCpuNanoseconds = 50'000'000;
constexpr long kPollNanoseconds = 10'000'000;
// 16 KiB of name: 1.4 MB of tables, and up to one recursion of about 1 KiB per byte.
constexpr size_t kLongNameStack = 32u << 20;
// Decoding Punycode allocates and takes quadratic time: at this length at most
// 2 ms, so that it is over long before a thread is cancelled.
constexpr size_t kMaxPunycodeName = 2048;

struct Output {
  const char* mangled;
  size_t mangledLength;
  char* out;
  size_t capacity;
  size_t length;
  bool isCxx;
  jmp_buf full;
};

// Jumps over frames of plain C, which have nothing to clean up but the text of a
// Punycode identifier while that is being printed. So it jumps only from text
// that is part of the name or a single character: there is always some of it,
// and an identifier that needed Punycode is longer and elsewhere.
void append(const char* text, size_t length, void* opaque) {
  Output* output = static_cast<Output*>(opaque);
  const size_t room = output->capacity - 1 - output->length;
  const size_t taken = length < room ? length : room;
  if (taken > 0) memcpy(output->out + output->length, text, taken);
  output->length += taken;
  if (taken == length) return;
  const bool fromName = text >= output->mangled && text < output->mangled + output->mangledLength;
  if (fromName || length == 1 || output->isCxx) longjmp(output->full, 1);
}

struct Scheme {
  int (*print)(const char*, int, demangle_callbackref, void*);
  int options;
};
constexpr Scheme kCxx = {cplus_demangle_v3_callback, DMGL_PARAMS | DMGL_ANSI};
constexpr Scheme kLongCxx = {cplus_demangle_v3_callback,
                             DMGL_PARAMS | DMGL_ANSI | DMGL_NO_RECURSE_LIMIT};
constexpr Scheme kRust = {rust_demangle_callback, DMGL_PARAMS};

bool print(const Scheme& scheme, Output* output) {
  output->length = 0;
  output->isCxx = scheme.print == cplus_demangle_v3_callback;
  // volatile: written between setjmp and longjmp.
  volatile bool valid = true;
  if (setjmp(output->full) == 0) {
    valid = scheme.print(output->mangled, scheme.options, append, output) != 0;
  }
  if (!valid) output->length = 0;
  output->out[output->length] = 0;
  return output->length > 0;
}

struct Job {
  const Scheme* scheme;
  Output* output;
  bool done;
};

void* runJob(void* opaque) {
  Job* job = static_cast<Job*>(opaque);
  int previous;
  pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &previous);
  const bool done = print(*job->scheme, job->output);
  pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &previous);
  job->done = done;
  return nullptr;
}

// glibc loads this library for pthread_cancel() and ends the process if it is
// not there; what needs no cancelling is demangled without it.
bool canCancel() {
  static const bool present = dlopen("libgcc_s.so.1", RTLD_NOW) != nullptr;
  return present;
}

bool printOnOwnThread(const Scheme& scheme, Output* output) {
  if (!canCancel()) return false;
  Job job = {&scheme, output, false};
  // Signals are for the other threads: a handler must not be cut off half way.
  pthread_attr_t attributes;
  if (pthread_attr_init(&attributes) != 0) return false;
  pthread_t thread;
  std::optional<flametap::SignalsBlocked> signals(std::in_place);
  const bool started = pthread_attr_setstacksize(&attributes, kLongNameStack) == 0 &&
                       pthread_create(&thread, &attributes, runJob, &job) == 0;
  signals.reset();
  pthread_attr_destroy(&attributes);
  if (!started) return false;
  clockid_t cpu;
  const bool measured = pthread_getcpuclockid(thread, &cpu) == 0;
  for (;;) {
    timespec deadline;
    clock_gettime(CLOCK_MONOTONIC, &deadline);
    deadline.tv_nsec += kPollNanoseconds;
    if (deadline.tv_nsec >= 1'000'000'000) {
      deadline.tv_sec++;
      deadline.tv_nsec -= 1'000'000'000;
    }
    // By a clock that nobody can set back: the wait would last as much longer.
    if (pthread_clockjoin_np(thread, nullptr, CLOCK_MONOTONIC, &deadline) == 0) return job.done;
    // On a busy machine the thread may not have run yet: only its own time counts.
    timespec used;
    if (measured && clock_gettime(cpu, &used) == 0 && used.tv_sec == 0 &&
        used.tv_nsec < kMaxCpuNanoseconds) {
      continue;
    }
    pthread_cancel(thread);
    pthread_join(thread, nullptr);
    return job.done;
  }
}

// Pack expansions (types and expressions) and conversion operators are what the
// library searches or parses more than once.
bool cxxMayTakeLong(const char* mangled, size_t length) {
  return length > kQuickLength &&
         (strstr(mangled, "Dp") != nullptr || strstr(mangled, "sp") != nullptr ||
          strstr(mangled, "cv") != nullptr);
}

bool isDigit(char c) { return c >= '0' && c <= '9'; }

bool isBase62(char c) { return isDigit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// A binder (`G` and a base-62 number) of more than 62 lifetimes, or what looks so.
bool rustMayTakeLong(const char* mangled) {
  for (const char* binder = strchr(mangled, 'G'); binder; binder = strchr(binder + 1, 'G')) {
    const char* end = binder + 1;
    while (isBase62(*end)) end++;
    if (end - binder > 2 && *end == '_') return true;
  }
  return false;
}

bool mayHavePunycode(const char* mangled) {
  for (const char* u = strchr(mangled, 'u'); u; u = strchr(u + 1, 'u')) {
    if (isDigit(u[1])) return true;
  }
  return false;
}

// `…17h<16 hex>E`, then nothing or what LLVM appends after a dot.
bool isLegacyRust(const char* mangled, size_t length) {
  if (strncmp(mangled, "_ZN", 3) != 0) return false;
  for (const char* hash = strstr(mangled, "17h"); hash; hash = strstr(hash + 1, "17h")) {
    const size_t rest = length - static_cast<size_t>(hash - mangled);
    if (rest >= 20 && hash[19] == 'E' && (hash[20] == 0 || hash[20] == '.')) return true;
  }
  return false;
}

bool demangleRustV0(Output* output) {
  const char* mangled = output->mangled;
  if (output->mangledLength > kMaxPunycodeName && mayHavePunycode(mangled)) return false;
  return rustMayTakeLong(mangled) ? printOnOwnThread(kRust, output) : print(kRust, output);
}

bool demangleCxx(Output* output) {
  const char* mangled = output->mangled;
  if (output->mangledLength > kLibraryLimit) return printOnOwnThread(kLongCxx, output);
  return cxxMayTakeLong(mangled, output->mangledLength) ? printOnOwnThread(kCxx, output)
                                                        : print(kCxx, output);
}

}  // namespace

bool flametap_demangle(const char* mangled, char* out, size_t capacity) {
  if (capacity == 0) return false;
  out[0] = 0;
  const size_t length = strnlen(mangled, FLAMETAP_DEMANGLE_MAX_INPUT + 1);
  if (capacity < 2 || length < 3 || length > FLAMETAP_DEMANGLE_MAX_INPUT) return false;
  if (mangled[0] != '_') return false;
  Output output = {mangled, length, out, capacity, 0, false, {}};
  bool done = false;
  if (mangled[1] == 'R')
    done = demangleRustV0(&output);
  else if (isLegacyRust(mangled, length))
    done = print(kRust, &output);
  if (!done && (mangled[1] == 'Z' || mangled[1] == 'G')) done = demangleCxx(&output);
  if (!done) out[0] = 0;
  return done;
}
