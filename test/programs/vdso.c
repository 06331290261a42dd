/* SPDX-License-Identifier: Apache-2.0 */
/* Most of the time inside the vDSO. usage: vdso [SECONDS=2]; chain: main, ask, clock_gettime, <vdso>. */
#include "report.h"

FRAME uint64_t ask(int times)
{
	struct timespec t = {0, 0};
	uint64_t x = 0;
	for (int i = 0; i < times; i++) {
		clock_gettime(CLOCK_MONOTONIC, &t);
		x += (uint64_t)t.tv_nsec;
	}
	return x;
}

int main(int argc, char **argv)
{
	double end = thread_cpu_seconds() + seconds_argument(argc, argv, 2);
	volatile uint64_t sink = 0;
	do
		sink += ask(20000);
	while (thread_cpu_seconds() < end);
	report("vdso", "[[\"main\",\"ask\",\"clock_gettime\"]]");
	return 0;
}
