/* SPDX-License-Identifier: Apache-2.0 */
/* The library of latelib.c: enter_plugin -> plugin_middle -> plugin_leaf. */
#include "report.h"

static FRAME uint64_t plugin_leaf(uint64_t x)
{
	return mix(x, 20000);
}

static FRAME uint64_t plugin_middle(uint64_t x)
{
	volatile char pad[200];
	pad[0] = (char)x;
	return plugin_leaf(x) + (uint64_t)pad[0];
}

FRAME uint64_t enter_plugin(uint64_t x, double end)
{
	do
		x ^= plugin_middle(x);
	while (thread_cpu_seconds() < end);
	return x;
}
