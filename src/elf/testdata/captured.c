/* Stops deep in a stack, after saying what its registers are and what its own
 * unwinder (libgcc) makes of the stack. The test walks the same stack from outside.
 * usage: captured [alternate-stack] */
#define _GNU_SOURCE
#include <alloca.h>
#include <execinfo.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

typedef float vector __attribute__((vector_size(32)));

__attribute__((noinline)) static void capture(void)
{
	static const int order[] = {REG_RAX, REG_RDX, REG_RCX, REG_RBX, REG_RSI, REG_RDI,
				    REG_RBP, REG_RSP, REG_R8,  REG_R9,	REG_R10, REG_R11,
				    REG_R12, REG_R13, REG_R14, REG_R15, REG_RIP};
	void *frames[200];
	ucontext_t context;
	getcontext(&context);
	int count = backtrace(frames, 200);
	char text[16384], *out = text;
	for (int i = 0; i < 17; i++)
		out += sprintf(out, "%llx ", context.uc_mcontext.gregs[order[i]]);
	*out++ = '\n';
	for (int i = 0; i < count; i++)
		out += sprintf(out, "%lx ", (long)frames[i]);
	*out++ = '\n';
	write(1, text, out - text);
	char byte;
	read(0, &byte, 1);
}

__attribute__((noinline)) static void aligned(int n)
{
	vector v[2] __attribute__((aligned(64)));
	char *p = alloca(n);
	memset(v, n, sizeof v);
	memset(p, n, n);
	__asm__ volatile("" : : "r"(v), "r"(p) : "memory");
	capture();
	__asm__ volatile("" : : "r"(v), "r"(p) : "memory");
}

static void handler(int number)
{
	aligned(number * 10);
	__asm__ volatile("");
}

__attribute__((noinline)) static int deep(int n)
{
	int result;
	if (n == 0) {
		*(volatile int *)8 = 1;
		return 1;
	}
	volatile char room[n * 24];
	room[0] = 1;
	result = deep(n - 1);
	return result + room[0];
}

static int compare(const void *a, const void *b)
{
	static int calls;
	if (++calls == 20)
		deep(9);
	return *(const int *)a - *(const int *)b;
}

int main(int argc, char **argv)
{
	int values[100];
	stack_t stack = {.ss_sp = malloc(1 << 16), .ss_size = 1 << 16};
	struct sigaction action = {.sa_handler = handler, .sa_flags = SA_ONSTACK};
	if (argc > 1)
		sigaltstack(&stack, NULL);
	sigaction(SIGSEGV, &action, NULL);
	for (int i = 0; i < 100; i++)
		values[i] = (i * 7919) % 101;
	qsort(values, 100, sizeof *values, compare);
	return 0;
}
