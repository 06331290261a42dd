/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Forks when it is told to. usage: late-forks [CHILDREN=3]
 * Chain until a line comes on stdin: main, before. Then children that burn the CPU in
 * main, after, inner; their pids are printed, and the parent becomes another program:
 * it ends when stdin does, and the children with it.
 */
#include "report.h"
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

FRAME uint64_t before(uint64_t x) { return mix(x, 200000) + 1; }
FRAME uint64_t inner(uint64_t x) { return mix(x, 200000) + 1; }
FRAME uint64_t after(uint64_t x)
{
	for (;;)
		x = inner(x) * 3 + 1;
	return x;
}

int main(int argc, char **argv)
{
	int children = argc > 1 ? atoi(argv[1]) : 3;
	volatile uint64_t sink = 1;
	struct pollfd input = {0, POLLIN, 0};
	char line[16];
	while (poll(&input, 1, 0) == 0)
		sink = before(sink);
	if (read(0, line, sizeof(line)) <= 0)
		return 1;
	for (int i = 0; i < children; i++) {
		pid_t child = fork();
		if (child == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			sink = after(sink);
		}
		printf("%d\n", child);
	}
	fflush(stdout);
	execlp("cat", "cat", NULL);
	return 1;
}
