/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interrupts itself and writes what a profiler would have seen: mappings,
 * registers and stack bytes, in the input format of test/reference/unwind.c.
 * usage: self-dump FILE [SAMPLES=50]; chain: main, b1 .. b4, bottom.
 */
#include "report.h"
#include <signal.h>
#include <sys/time.h>
#include <ucontext.h>

/* glibc's own note of where the stack began, before _start ran. */
extern void *__libc_stack_end;

static FILE *out;
static volatile int taken;
static int wanted = 50;

static void dump(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)info;
	static const int order[17] = {REG_RAX, REG_RDX, REG_RCX, REG_RBX, REG_RSI, REG_RDI, REG_RBP, REG_RSP, REG_R8,
				      REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15, REG_RIP};
	if (taken >= wanted)
		return;
	const greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
	fprintf(out, "sample %d\nregisters", taken);
	for (int i = 0; i < 17; i++)
		fprintf(out, " %llx", (unsigned long long)registers[order[i]]);
	/* the frame of this handler lies below the red zone: the bytes above it are as they were */
	uint64_t base = (uint64_t)registers[REG_RSP] & ~7ULL;
	fprintf(out, "\nstack %llx ", (unsigned long long)base);
	for (const unsigned char *at = (const unsigned char *)(uintptr_t)base, *end = (const unsigned char *)__libc_stack_end + 64; at < end; at++)
		fprintf(out, "%02x", *at);
	fprintf(out, "\n");
	taken++;
}

FRAME uint64_t bottom(uint64_t x)
{
	return mix(x, 200000) + 1;
}
FRAME uint64_t b4(uint64_t x)
{
	volatile char pad[300];
	pad[0] = (char)x;
	return bottom(x) + (uint64_t)pad[0];
}
FRAME uint64_t b3(uint64_t x) { return b4(x) * 3 + 1; }
FRAME uint64_t b2(uint64_t x)
{
	volatile char pad[24];
	pad[0] = (char)x;
	return b3(x) + (uint64_t)pad[0];
}
FRAME uint64_t b1(uint64_t x) { return b2(x) * 5 + 1; }

int main(int argc, char **argv)
{
	out = argc > 1 ? fopen(argv[1], "w") : stdout;
	if (argc > 2)
		wanted = atoi(argv[2]);
	fprintf(out, "process %d\n", (int)getpid());
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[8192];
	while (maps && fgets(line, sizeof(line), maps)) {
		unsigned long long start, end, offset;
		char flags[8], path[4096] = "";
		if (sscanf(line, "%llx-%llx %7s %llx %*s %*s %4095[^\n]", &start, &end, flags, &offset, path) >= 4 &&
		    flags[2] == 'x')
			fprintf(out, "map %llx %llx %llx %s\n", start, end, offset, path);
	}
	struct sigaction action = {.sa_sigaction = dump, .sa_flags = SA_SIGINFO | SA_RESTART};
	sigaction(SIGPROF, &action, NULL);
	struct itimerval every = {{0, 4000}, {0, 4000}};
	setitimer(ITIMER_PROF, &every, NULL);
	volatile uint64_t sink = 1;
	while (taken < wanted)
		sink ^= b1(sink);
	fclose(out);
	return 0;
}
