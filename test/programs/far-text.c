/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text that spans more than 2 GiB: `far_*` are linked 2.5 GiB above main, in a
 * segment of their own, so that the file stays small.
 * usage: far-text [SECONDS=2]; chain: main, near_caller, far_middle, far_leaf.
 */
#include "report.h"

#define FAR __attribute__((noipa, section(".far")))

FAR uint64_t far_leaf(uint64_t x)
{
	for (int i = 0; i < 3000; i++)
		x = x * 6364136223846793005ULL + (uint64_t)i;
	return x;
}

FAR uint64_t far_middle(uint64_t x)
{
	volatile char pad[120];
	pad[0] = (char)x;
	return far_leaf(x) + (uint64_t)pad[0];
}

FRAME uint64_t near_caller(uint64_t x)
{
	return far_middle(x) * 3 + 1;
}

int main(int argc, char **argv)
{
	double end = thread_cpu_seconds() + seconds_argument(argc, argv, 2);
	volatile uint64_t sink = 1;
	do
		for (int i = 0; i < 100; i++)
			sink ^= near_caller(sink);
	while (thread_cpu_seconds() < end);
	report("far-text", "[[\"main\",\"near_caller\",\"far_middle\",\"far_leaf\"]]");
	return 0;
}
