// Names as C++ and Rust compilers mangle them, made readable.
#pragma once

#include <cstddef>

// Longest mangled name that is looked at, in bytes. Real C++ reaches about 8 KiB.
#define FLAMETAP_DEMANGLE_MAX_INPUT 16384

// Writes the readable form of `mangled` to `out`, at most `capacity` bytes with
// the final zero, and returns true. What does not fit is cut at a byte (the
// caller repairs UTF-8). Returns false, with out[0] = 0, for names that are not
// mangled, not valid, too long, or take more than 50 ms of CPU.
//
// Itanium C++ with parameters; Rust v0 and the older scheme, without hashes.
// Needs about 200 KiB of stack; names that could need more get their own.
// Thread-safe; keeps no memory. Link with -liberty (libiberty-dev).
bool flametap_demangle(const char* mangled, char* out, size_t capacity);
