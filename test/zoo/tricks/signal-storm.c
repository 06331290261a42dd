/* SPDX-License-Identifier: Apache-2.0 */
/* Signals as fast as they can be sent, handled on alternate stacks that are moved and overwritten. */
#include "trick.h"

static void on_signal(int number) {
	volatile char room[256];
	memset((void *)room, number, sizeof(room));
	spin(3000);
}

int main(int argc, char **argv) {
	seconds_left(argc, argv);
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK | SA_NODEFER | SA_RESTART};
	sigaction(SIGUSR1, &action, NULL);
	sigaction(SIGUSR2, &action, NULL);
	char *stacks = mmap(NULL, 64 << 10, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (unsigned round = 0;; round++) {
		stack_t stack = {.ss_sp = stacks + round % 3 * 16384, .ss_size = 16384};
		sigaltstack(&stack, NULL);
		raise(round % 2 ? SIGUSR1 : SIGUSR2);
		memset(stacks + (round + 1) % 3 * 16384, 0x5a, 16384);
	}
}
