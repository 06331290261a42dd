/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main -> (a1 -> ... -> a30) x ROUNDS -> leaf, frames of 24 to 500 bytes.
 * usage: chain [SECONDS=2 [THREADS=0 [ROUNDS=1 [WALK_KIB=0]]]]
 * SECONDS of CPU per thread. THREADS=0: in main itself; else in that many
 * pthreads (worker -> a1 ...). WALK_KIB: the leaf walks that much memory per
 * call, so that the profiler finds its caches cold.
 */
#include "report.h"
#include <pthread.h>

static int walk_bytes;
static __thread unsigned char *walked;

FRAME uint64_t leaf(uint64_t x)
{
	uint64_t a[16];
	for (int i = 0; i < 16; i++)
		a[i] = x + (uint64_t)i;
	for (int i = 0; i < 1500; i++)
		a[i & 15] = a[(i + 3) & 15] * 6364136223846793005ULL + (uint64_t)i;
	for (int i = 0; i < walk_bytes; i += 64)
		a[i & 15] += walked[i]++;
	for (int i = 0; i < 16; i++)
		x ^= a[i];
	return x;
}

FRAME uint64_t a1(uint64_t x, int rounds);

/* The work after the call keeps the call from becoming a jump. */
#define LINK(name, next, bytes)                          \
	FRAME uint64_t name(uint64_t x, int rounds)      \
	{                                                \
		volatile char pad[bytes];                \
		pad[0] = (char)x;                        \
		uint64_t r = next(x ^ bytes, rounds);    \
		return mix(x, 5) + r + (uint64_t)pad[0]; \
	}
#define LAST(name, bytes)                                                          \
	FRAME uint64_t name(uint64_t x, int rounds)                                \
	{                                                                          \
		volatile char pad[bytes];                                          \
		pad[0] = (char)x;                                                  \
		uint64_t r = rounds > 1 ? a1(x ^ bytes, rounds - 1) : leaf(x + 1); \
		return mix(x, 5) + r + (uint64_t)pad[0];                           \
	}

LAST(a30, 40)
LINK(a29, a30, 128)
LINK(a28, a29, 88)
LINK(a27, a28, 48)
LINK(a26, a27, 8)
LINK(a25, a26, 488)
LINK(a24, a25, 448)
LINK(a23, a24, 408)
LINK(a22, a23, 368)
LINK(a21, a22, 328)
LINK(a20, a21, 288)
LINK(a19, a20, 248)
LINK(a18, a19, 208)
LINK(a17, a18, 168)
LINK(a16, a17, 128)
LINK(a15, a16, 88)
LINK(a14, a15, 48)
LINK(a13, a14, 8)
LINK(a12, a13, 488)
LINK(a11, a12, 448)
LINK(a10, a11, 408)
LINK(a9, a10, 368)
LINK(a8, a9, 328)
LINK(a7, a8, 288)
LINK(a6, a7, 248)
LINK(a5, a6, 208)
LINK(a4, a5, 168)
LINK(a3, a4, 128)
LINK(a2, a3, 88)
LINK(a1, a2, 48)

static double seconds;
static int rounds = 1;

static FRAME void *worker(void *argument)
{
	uint64_t x = (uint64_t)(uintptr_t)argument;
	walked = calloc(1, (size_t)walk_bytes + 64);
	double end = thread_cpu_seconds() + seconds;
	do {
		for (int i = 0; i < (walk_bytes ? 1 : 200); i++)
			x ^= a1(x, rounds);
	} while (thread_cpu_seconds() < end);
	return (void *)(uintptr_t)x;
}

int main(int argc, char **argv)
{
	seconds = seconds_argument(argc, argv, 2);
	int threads = argc > 2 ? atoi(argv[2]) : 0;
	rounds = argc > 3 ? atoi(argv[3]) : 1;
	walk_bytes = argc > 4 ? atoi(argv[4]) * 1024 : 0;
	if (threads == 0) {
		uint64_t x = 1;
		walked = calloc(1, (size_t)walk_bytes + 64);
		double end = thread_cpu_seconds() + seconds;
		do {
			for (int i = 0; i < (walk_bytes ? 1 : 200); i++)
				x ^= a1(x, rounds);
		} while (thread_cpu_seconds() < end);
		walked[0] = (unsigned char)x;
	} else {
		pthread_t ids[64];
		if (threads > 64)
			threads = 64;
		for (int i = 0; i < threads; i++)
			pthread_create(&ids[i], NULL, worker, (void *)(intptr_t)i);
		for (int i = 0; i < threads; i++)
			pthread_join(ids[i], NULL);
	}
	static char chain[1 << 20];
	char *end = chain + sprintf(chain, "[[\"%s\"", threads ? "worker" : "main");
	for (int round = 0; round < rounds && end < chain + sizeof(chain) - 512; round++)
		for (int i = 1; i <= 30; i++)
			end += sprintf(end, ",\"a%d\"", i);
	sprintf(end, ",\"leaf\"]]");
	report("chain", chain);
	return 0;
}
