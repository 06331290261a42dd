/*
 * Debian's libbpf.a refers to the variable `stderr` relative to the program
 * counter, which the linker refuses in a shared object. `--wrap=stderr` makes
 * that reference `__wrap_stderr`: a hidden variable of ours, set at load.
 */
#include <stdio.h>

__attribute__((visibility("hidden"))) FILE* __wrap_stderr;
extern FILE* __real_stderr;

__attribute__((constructor)) static void set_stderr(void) { __wrap_stderr = __real_stderr; }
