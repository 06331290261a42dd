/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes machine code at run time, as a JIT compiler does.
 * usage: jit [SECONDS=2 [SHAPE=framed|frameless]]
 * framed: three functions with frame pointers: main, enter, jit_outer, jit_middle, jit_inner.
 * frameless: jit_inner reserves stack without a frame pointer: nothing can
 * tell its caller, the stack must end with a reason.
 * Names are written to /tmp/perf-PID.map; the file is removed at the end.
 */
#include "report.h"
#include <sys/mman.h>

static unsigned char *at;

static void emit(const void *bytes, size_t count)
{
	memcpy(at, bytes, count);
	at += count;
}

/* loop: dec rdi; jnz loop */
static const unsigned char spin[] = {0x48, 0xff, 0xcf, 0x75, 0xfb};
static const unsigned char enter_frame[] = {0x55, 0x48, 0x89, 0xe5};
static const unsigned char leave_frame[] = {0x5d, 0xc3};

static unsigned char *emit_call(const unsigned char *target)
{
	unsigned char *start = at;
	uint64_t address = (uint64_t)(uintptr_t)target;
	emit(enter_frame, sizeof(enter_frame));
	emit("\x48\xb8", 2); /* mov rax, imm64 */
	emit(&address, 8);
	emit("\xff\xd0", 2); /* call rax */
	emit(leave_frame, sizeof(leave_frame));
	return start;
}

FRAME uint64_t enter(void (*code)(uint64_t), double end)
{
	uint64_t calls = 0;
	do {
		code(200000);
		calls++;
	} while (thread_cpu_seconds() < end);
	return calls;
}

int main(int argc, char **argv)
{
	double end = thread_cpu_seconds() + seconds_argument(argc, argv, 2);
	int framed = argc <= 2 || strcmp(argv[2], "frameless");
	unsigned char *code = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	at = code;
	unsigned char *inner = at;
	if (framed) {
		emit(enter_frame, sizeof(enter_frame));
		emit(spin, sizeof(spin));
		emit(leave_frame, sizeof(leave_frame));
	} else {
		emit("\x48\x83\xec\x28\x31\xed", 6); /* sub rsp, 40; xor ebp, ebp */
		emit(spin, sizeof(spin));
		emit("\x48\x83\xc4\x28\xc3", 5); /* add rsp, 40; ret */
	}
	unsigned char *middle = emit_call(inner);
	unsigned char *outer = emit_call(middle);
	unsigned char *stop = at;
	if (!framed) {
		/* rbp is callee-saved: keep it across the frameless function */
		outer = at;
		emit("\x55", 1);
		emit("\x48\xb8", 2);
		uint64_t address = (uint64_t)(uintptr_t)inner;
		emit(&address, 8);
		emit("\xff\xd0", 2);
		emit(leave_frame, sizeof(leave_frame));
		stop = at;
	}
	mprotect(code, 4096, PROT_READ | PROT_EXEC);

	char path[64];
	sprintf(path, "/tmp/perf-%d.map", (int)getpid());
	FILE *map = fopen(path, "w");
	if (map) {
		fprintf(map, "%lx %lx jit_inner\n", (unsigned long)inner, (unsigned long)(middle - inner));
		if (framed)
			fprintf(map, "%lx %lx jit_middle\n", (unsigned long)middle, (unsigned long)(outer - middle));
		fprintf(map, "%lx %lx jit_outer\n", (unsigned long)outer, (unsigned long)(stop - outer));
		fclose(map);
	}
	void (*function)(uint64_t);
	memcpy(&function, &outer, sizeof(function));
	volatile uint64_t sink = enter(function, end);
	(void)sink;
	report("jit", framed ? "[[\"main\",\"enter\",\"jit_outer\",\"jit_middle\",\"jit_inner\"]]" : "[[\"jit_inner\"]]");
	/* the profiler reads the map when it writes the profile: leave it until told otherwise */
	if (!getenv("TEST_KEEP_MAP"))
		unlink(path);
	return 0;
}
