/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames whose size or alignment is only known at run time.
 * usage: frames [SECONDS=2 [SHAPE=alloca|vla|realigned|vector]]
 * Chain: main, run, shape_NAME, inner.
 */
#include "report.h"
#include <alloca.h>

typedef float wide __attribute__((vector_size(64)));

FRAME uint64_t inner(volatile char *bytes, uint64_t x)
{
	bytes[0] = (char)x;
	return mix(x, 3000) + (uint64_t)bytes[0];
}

FRAME uint64_t shape_alloca(uint64_t x)
{
	volatile char *bytes = alloca(100 + (x & 1023));
	uint64_t r = inner(bytes, x);
	volatile char *more = alloca(1 + (r & 255));
	return inner(more, r) + r;
}

FRAME uint64_t shape_vla(uint64_t x)
{
	volatile char bytes[8 + (x & 2047)];
	return inner(bytes, x) + (uint64_t)bytes[0];
}

/* GCC re-establishes the CFA through a saved r10 (DRAP) here. */
FRAME __attribute__((force_align_arg_pointer)) uint64_t shape_realigned(uint64_t x)
{
	volatile char bytes[64] __attribute__((aligned(64)));
	volatile char *more = alloca(16 + (x & 63));
	uint64_t r = inner(more, x);
	return inner(bytes, r) + r + (uint64_t)bytes[0];
}

FRAME uint64_t shape_vector(uint64_t x)
{
	volatile wide values[3];
	volatile char bytes[32];
	for (int i = 0; i < 3; i++)
		values[i] = (wide){(float)x, 1, 2, 3};
	uint64_t r = inner(bytes, x);
	return r + (uint64_t)values[r % 3][0] + (uint64_t)bytes[0];
}

FRAME uint64_t run(uint64_t (*shape)(uint64_t), double end)
{
	uint64_t x = 1;
	do
		for (int i = 0; i < 50; i++)
			x ^= shape(x);
	while (thread_cpu_seconds() < end);
	return x;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		uint64_t (*shape)(uint64_t);
	} shapes[] = {{"alloca", shape_alloca}, {"vla", shape_vla}, {"realigned", shape_realigned}, {"vector", shape_vector}};
	double end = thread_cpu_seconds() + seconds_argument(argc, argv, 2);
	const char *wanted = argc > 2 ? argv[2] : "alloca";
	for (unsigned i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		if (strcmp(shapes[i].name, wanted))
			continue;
		volatile uint64_t sink = run(shapes[i].shape, end);
		(void)sink;
		char chain[128];
		sprintf(chain, "[[\"main\",\"run\",\"shape_%s\",\"inner\"]]", wanted);
		report("frames", chain);
		return 0;
	}
	return 2;
}
