/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes OTEP 4947. style `swap`: a record per request, and the pointer moves;
 * `in-place`: a record per thread that is written anew for each request.
 */
#include "carrier.h"
#include <stdlib.h>
#include <string.h>

struct record {
	uint8_t trace_id[16];
	uint8_t span_id[8];
	volatile uint8_t valid;
	uint8_t flags;
	uint16_t size;
	uint8_t attributes[68];
};

#ifdef TLS_PADDING
/* A block too large for the room that the loader keeps for libraries loaded late. */
__thread char padding[TLS_PADDING];
#endif
#ifdef TLS_ALIGNED
/* In front of the pointer, aligned beyond its own size. */
__thread char aligned[3] __attribute__((aligned(TLS_ALIGNED))) = {1, 2, 3};
#endif
__thread struct record *volatile otel_thread_ctx_v1;

#define FENCE __asm__ volatile("" ::: "memory")

static struct record *records;
static int in_place;
static __thread struct record own;

static void fill(struct record *record, int request)
{
	request_ids(request, record->trace_id, record->span_id);
	record->flags = 1;
	int length = sprintf((char *)record->attributes + 2, "/request/%d", request);
	record->attributes[0] = 0;
	record->attributes[1] = (uint8_t)length;
	record->size = (uint16_t)(2 + length);
}

void carrier_start(int requests, const char *style)
{
	in_place = !strcmp(style, "in-place");
	records = calloc((size_t)requests, sizeof(*records));
	for (int i = 0; i < requests; i++) {
		fill(&records[i], i);
		records[i].valid = 1;
	}
#ifdef TLS_PADDING
	padding[0] = 1;
#endif
#ifdef TLS_ALIGNED
	aligned[0]++;
#endif
}

void carrier_enter(int request)
{
	if (!in_place) {
		FENCE;
		otel_thread_ctx_v1 = &records[request];
		FENCE;
		return;
	}
	own.valid = 0;
	FENCE;
	fill(&own, request);
	FENCE;
	own.valid = 1;
	otel_thread_ctx_v1 = &own;
	FENCE;
}

void carrier_leave(void)
{
	FENCE;
	if (in_place)
		own.valid = 0;
	else
		otel_thread_ctx_v1 = NULL;
	FENCE;
}
