/* SPDX-License-Identifier: Apache-2.0 */
/* A process context (OTEP 4719) and thread contexts (OTEP 4947) that are garbage and change all the time. */
#include "trick.h"

struct record {
	uint8_t trace_id[16], span_id[8], valid, flags;
	uint16_t size;
	uint8_t attributes[256];
};

struct process_context {
	char signature[8];
	uint32_t version, size;
	uint64_t published_at;
	void *payload;
};

__thread void *volatile otel_thread_ctx_v1;
static struct record records[64];
static struct process_context *context;

static void *scramble(void *argument) {
	uint64_t x = 88172645463325252ull;
	for (;;) {
		for (unsigned i = 0; i < sizeof(records); i++) {
			x ^= x << 13, x ^= x >> 7, x ^= x << 17;
			((volatile uint8_t *)records)[i] = (uint8_t)x;
		}
		for (unsigned i = 0; i < 64; i++)
			records[i].valid = 1;
		memcpy(context->signature, "OTEL_CTX", 8);
		context->version = (uint32_t)x % 4;
		context->size = (uint32_t)(x >> 8) % 100000;
		context->published_at = x;
		context->payload = (char *)records + x % sizeof(records);
		prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, context, 2 * PAGE, x % 2 ? "OTEL_CTX" : "other");
	}
	return argument;
}

int main(int argc, char **argv) {
	seconds_left(argc, argv);
	context = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pthread_t thread;
	pthread_create(&thread, NULL, scramble, NULL);
	for (unsigned i = 0;; i++) {
		otel_thread_ctx_v1 = i % 5 ? (void *)&records[i % 64] : (void *)(uintptr_t)(i * 0x12345678ul);
		spin(50000);
	}
}
