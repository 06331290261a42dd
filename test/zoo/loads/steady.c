/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ordinary load in C: main -> serve -> alpha, beta or gamma, which take 3, 2 and 1 parts of the
 * time, each for a request of its own (OTEP 4947). usage: steady SECONDS
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FRAME __attribute__((noipa, noinline))
#define FENCE __asm__ volatile("" ::: "memory")
#define PART 2000000ul

struct record {
	uint8_t trace_id[16], span_id[8], valid, flags;
	uint16_t size;
};

__thread struct record *volatile otel_thread_ctx_v1;
static struct record records[3];

#define WORK(name)                                              \
	FRAME uint64_t name(uint64_t x, unsigned long rounds) { \
		for (unsigned long i = 0; i < rounds; i++)      \
			x = x * 6364136223846793005ul + i;      \
		return x + sizeof(#name);                       \
	}
WORK(alpha)
WORK(beta) WORK(gamma_)

    FRAME static uint64_t serve(unsigned which, uint64_t x) {
	FENCE;
	otel_thread_ctx_v1 = &records[which];
	FENCE;
	x += which == 0 ? alpha(x, 3 * PART) : which == 1 ? beta(x, 2 * PART) : gamma_(x, PART);
	FENCE;
	otel_thread_ctx_v1 = NULL;
	FENCE;
	return x;
}

int main(int argc, char **argv) {
	alarm(argc > 1 ? (unsigned)atoi(argv[1]) : 20);
	for (unsigned i = 0; i < 3; i++) {
		memset(records[i].trace_id, (int)(0x11 * (i + 1)), 16);
		memset(records[i].span_id, (int)(0x11 * (i + 1)), 8);
		records[i].valid = 1;
		records[i].flags = 1;
	}
	volatile uint64_t sink = 1;
	for (unsigned request = 0;; request++)
		sink ^= serve(request % 3, sink);
}
