/* SPDX-License-Identifier: Apache-2.0 */
/* main -> descend x DEPTH -> leaf. usage: recurse [SECONDS=2 [DEPTH=50]] */
#include "report.h"

FRAME uint64_t leaf(uint64_t x, double end)
{
	do
		x = mix(x, 50000);
	while (thread_cpu_seconds() < end);
	return x;
}

FRAME uint64_t descend(int depth, double end, uint64_t x)
{
	volatile char pad[40];
	pad[0] = (char)depth;
	uint64_t r = depth <= 1 ? leaf(x, end) : descend(depth - 1, end, x ^ (uint64_t)depth);
	return r * 3 + (uint64_t)pad[0];
}

int main(int argc, char **argv)
{
	double end = thread_cpu_seconds() + seconds_argument(argc, argv, 2);
	int depth = argc > 2 ? atoi(argv[2]) : 50;
	volatile uint64_t sink = descend(depth, end, 1);
	(void)sink;
	static char chain[1 << 20];
	char *at = chain + sprintf(chain, "[[\"main\"");
	for (int i = 0; i < depth && at < chain + sizeof(chain) - 64; i++)
		at += sprintf(at, ",\"descend\"");
	sprintf(at, ",\"leaf\"]]");
	report("recurse", chain);
	return 0;
}
