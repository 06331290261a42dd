/* SPDX-License-Identifier: Apache-2.0 */
/* What the tricks share: each ends by itself after the seconds of its first argument. */
#ifndef TRICK_H
#define TRICK_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FRAME __attribute__((noipa, noinline))
#define PAGE 4096ul

static volatile uint64_t sink;

/* About 2 ms of a CPU per million. */
static inline void spin(unsigned long rounds) {
	uint64_t x = sink;
	for (unsigned long i = 0; i < rounds; i++)
		x = x * 6364136223846793005ULL + i;
	sink = x;
}

static inline unsigned seconds_left(int argc, char **argv) {
	unsigned seconds = argc > 1 ? (unsigned)atoi(argv[1]) : 20;
	/* also of children, which inherit no alarm */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	alarm(seconds);
	return seconds;
}

/* loop: dec rdi; jnz loop; ret: code that runs wherever it is put */
static const unsigned char loop_code[] = {0x55, 0x48, 0x89, 0xe5, 0x48, 0xff, 0xcf, 0x75, 0xfb, 0x5d, 0xc3};
typedef void (*loop_function)(uint64_t);

static inline void run_code(void *at, uint64_t rounds) {
	loop_function function;
	memcpy(&function, &at, sizeof(function));
	function(rounds);
}

/* Pages of that code, a copy at the beginning of each. */
static inline unsigned char *code_pages(void *wanted, unsigned long pages) {
	int fixed = wanted ? MAP_FIXED_NOREPLACE : 0;
	unsigned char *code =
	    mmap(wanted, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | fixed, -1, 0);
	if (code == MAP_FAILED)
		exit(70);
	for (unsigned long page = 0; page < pages; page++)
		memcpy(code + page * PAGE, loop_code, sizeof(loop_code));
	mprotect(code, pages * PAGE, PROT_READ | PROT_EXEC);
	return code;
}

static inline FILE *perf_map(const char *mode) {
	char name[64];
	snprintf(name, sizeof(name), "/tmp/perf-%d.map", (int)getpid());
	return fopen(name, mode);
}
#endif
