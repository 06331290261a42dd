/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that nobody brings (userfaultfd without a handler) where readers look: the record of a
 * thread context, the process context, the end of the stack. Needs root.
 */
#include "trick.h"
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>

__thread void *volatile otel_thread_ctx_v1;

static void *stalled(size_t pages, void *wanted) {
	long fd = syscall(SYS_userfaultfd, O_CLOEXEC);
	struct uffdio_api api = {.api = UFFD_API};
	void *at = mmap(wanted, pages * PAGE, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | (wanted ? MAP_FIXED : 0), -1, 0);
	struct uffdio_register all = {
	    .range = {(uintptr_t)at, pages * PAGE}, .mode = UFFDIO_REGISTER_MODE_MISSING};
	if (fd < 0 || at == MAP_FAILED || ioctl((int)fd, UFFDIO_API, &api) ||
	    ioctl((int)fd, UFFDIO_REGISTER, &all))
		exit(86);
	return at;
}

FRAME static void on_stack_of(char *top) {
	/* the caller's frame is in memory that never comes */
	__asm__ volatile("mov %%rsp, %%r12\n\tmov %0, %%rsp\n\tmov $20000000, %%rcx\n1:\tdec %%rcx\n\tjnz "
	                 "1b\n\tmov %%r12, %%rsp"
	                 :
	                 : "r"(top)
	                 : "r12", "rcx", "memory");
}

int main(int argc, char **argv) {
	seconds_left(argc, argv);
	char *never = stalled(16, NULL);
	char *context = stalled(2, NULL);
	prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, context, 2 * PAGE, "OTEL_CTX");
	for (;;) {
		otel_thread_ctx_v1 = never + 64;
		spin(10000000);
		on_stack_of(never + 4 * PAGE + 128);
		otel_thread_ctx_v1 = NULL;
		spin(1000000);
	}
}
