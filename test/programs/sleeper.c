/* SPDX-License-Identifier: Apache-2.0 */
/* Wakes once per period and works for a fraction of a millisecond. usage: sleeper [SECONDS=10 [PERIOD_MS=1000]] */
#include "report.h"

FRAME uint64_t work(uint64_t x)
{
	return mix(x, 200000) + 1;
}

int main(int argc, char **argv)
{
	long period = argc > 2 ? atol(argv[2]) : 1000;
	long wakes = (long)(seconds_argument(argc, argv, 10) * 1000) / period;
	volatile uint64_t sink = 1;
	for (long i = 0; i < wakes; i++) {
		sink = work(sink);
		struct timespec pause = {period / 1000, (period % 1000) * 1000000};
		nanosleep(&pause, NULL);
	}
	return 0;
}
