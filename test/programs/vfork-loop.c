/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Thousands of children a second that end at once, and now and then one that computes:
 * its stacks are main, child, inner. Ends after so many of those: vfork-loop [CHILDREN=10]
 */
#include "report.h"
#include <sys/wait.h>
#include <unistd.h>

#define BETWEEN 2000
#define ROUNDS 40000000

FRAME uint64_t inner(uint64_t x) { return mix(x, ROUNDS) + 1; }
FRAME uint64_t child(uint64_t x) { return inner(x) * 3 + 1; }

int main(int argc, char **argv)
{
	int children = argc > 1 ? atoi(argv[1]) : 10;
	volatile uint64_t sink = 1;
	for (int i = 0; i < children; i++) {
		for (int j = 0; j < BETWEEN; j++) {
			if (vfork() == 0)
				_exit(0);
			wait(NULL);
		}
		if (fork() == 0) {
			sink = child(sink);
			_exit(0);
		}
		wait(NULL);
	}
	return 0;
}
