/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Short processes. usage: brief [MILLISECONDS=50 [CHILDREN=0]]
 * Burns the CPU time itself, or (CHILDREN > 0) in that many children made by
 * fork without exec, one after the other. Chain: main, s1, s2, s3, s4.
 */
#include "report.h"
#include <sys/wait.h>

FRAME uint64_t s4(double end)
{
	uint64_t x = 1;
	do
		x = mix(x, 20000);
	while (thread_cpu_seconds() < end);
	return x;
}
FRAME uint64_t s3(double end) { return s4(end) * 3 + 1; }
FRAME uint64_t s2(double end) { return s3(end) * 5 + 1; }
FRAME uint64_t s1(double end) { return s2(end) * 7 + 1; }

int main(int argc, char **argv)
{
	double seconds = seconds_argument(argc, argv, 50) / 1000;
	int children = argc > 2 ? atoi(argv[2]) : 0;
	volatile uint64_t sink;
	if (children == 0) {
		sink = s1(seconds); /* since the process began: start-up counts too */
		report("brief", "[[\"main\",\"s1\",\"s2\",\"s3\",\"s4\"]]");
		return 0;
	}
	for (int i = 0; i < children; i++) {
		pid_t child = fork();
		if (child == 0) {
			sink = s1(thread_cpu_seconds() + seconds);
			(void)sink;
			report("brief", "[[\"main\",\"s1\",\"s2\",\"s3\",\"s4\"]]");
			_exit(0);
		}
		waitpid(child, NULL, 0);
	}
	return 0;
}
