/* SPDX-License-Identifier: Apache-2.0 */
/* Code that runs with stack and frame pointers that lead nowhere, into rings, into other mappings. */
#include "trick.h"

static void run_wild(uintptr_t stack, uintptr_t frame) {
	__asm__ volatile(
	    "mov %%rsp, %%r12\n\tmov %%rbp, %%r13\n\tmov %0, %%rsp\n\tmov %1, %%rbp\n\tmov $3000000, %%rcx\n"
	    "1:\tdec %%rcx\n\tjnz 1b\n\tmov %%r12, %%rsp\n\tmov %%r13, %%rbp"
	    :
	    : "r"(stack), "r"(frame)
	    : "r12", "r13", "rcx", "memory");
}

int main(int argc, char **argv) {
	seconds_left(argc, argv);
	uintptr_t *ring = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uintptr_t code = (uintptr_t)code_pages(NULL, 1);
	for (unsigned i = 0; i + 2 < (1 << 17); i += 2) {
		ring[i] = (uintptr_t)&ring[(i * 7919 + 2) % (1 << 17)] & ~15ul;
		ring[i + 1] = code + 4;
	}
	const uintptr_t places[] = {0, 8, ~0ul - 64, 0xffffffff81000000ul, (uintptr_t)ring,
	    (uintptr_t)ring + 3, (uintptr_t)ring + (1 << 20) - 8, code, (uintptr_t)&main, 0x800000000000ul};
	for (unsigned round = 0;; round++)
		run_wild(places[round % 10], places[round / 10 % 10]);
}
