/* SPDX-License-Identifier: Apache-2.0 */
/* Frames whose 1,020 return addresses are invented anew for each sample: a million different ones a minute. */
#include "trick.h"

#define CODE_BYTES (1ul << 30)
#define FRAMES 1020

int main(int argc, char **argv) {
	seconds_left(argc, argv);
	unsigned char *code = mmap(
	    NULL, CODE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (code == MAP_FAILED)
		exit(70);
	/* loop: dec rdi; jnz loop; jmp rsi */
	static const unsigned char loop[] = {0x48, 0xff, 0xcf, 0x75, 0xfb, 0xff, 0xe6};
	memcpy(code, loop, sizeof(loop));
	mprotect(code, CODE_BYTES, PROT_READ | PROT_EXEC);
	static uint64_t stack[2 * (FRAMES + 512)] __attribute__((aligned(64)));
	/* room for a signal frame below */
	uint64_t *frames = stack + 512, x = 88172645463325252ull;
	for (;;) {
		for (unsigned i = 0; i < FRAMES; i++) {
			x ^= x << 13, x ^= x >> 7, x ^= x << 17;
			frames[2 * i] = (uintptr_t)(frames + 2 * i + 2);
			frames[2 * i + 1] = (uintptr_t)code + x % CODE_BYTES;
		}
		__asm__ volatile("mov %%rsp, %%r12\n\tmov %%rbp, %%r13\n\tlea 1f(%%rip), %%rsi\n\t"
		                 "mov %1, %%rsp\n\tmov %1, %%rbp\n\tmov $1000000, %%edi\n\tjmp *%0\n"
		                 "1:\tmov %%r12, %%rsp\n\tmov %%r13, %%rbp"
		                 :
		                 : "r"(code), "r"(frames)
		                 : "r12", "r13", "rsi", "rdi", "memory");
	}
}
