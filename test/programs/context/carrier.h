/* SPDX-License-Identifier: Apache-2.0 */
/* How requests.c tells a carrier of trace ids which request its thread works for. */
#ifndef TEST_CARRIER_H
#define TEST_CARRIER_H

#include <stdint.h>
#include <stdio.h>

/* Before any thread uses it. `style` says how a record is published, see the carriers. */
void carrier_start(int requests, const char *style);
/* This thread works for a request, for another one, for none. */
void carrier_enter(int request);
void carrier_leave(void);

/* Ids of a request, no byte of them shared with another one's. */
static inline void request_ids(int request, uint8_t trace[16], uint8_t span[8])
{
	for (int i = 0; i < 16; i++)
		trace[i] = (uint8_t)(request * 16 + i + 1);
	for (int i = 0; i < 8; i++)
		span[i] = (uint8_t)(255 - request * 16 - i);
}

static inline void hex(char *out, const uint8_t *bytes, int count)
{
	for (int i = 0; i < count; i++)
		sprintf(out + 2 * i, "%02x", bytes[i]);
}
#endif
