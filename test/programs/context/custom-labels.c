/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Uses the C side of the crate custom-labels. style `swap`: a set per request,
 * `many`: of 20 labels, `in-place`: a set per thread whose values are set anew
 * for each request.
 */
#include "carrier.h"
#include "customlabels.h"
#include <stdlib.h>
#include <string.h>

static custom_labels_labelset_t **sets;
static int in_place;
static __thread custom_labels_labelset_t *own;

static custom_labels_string_t text(const char *value)
{
	custom_labels_string_t string = {strlen(value), (const unsigned char *)value};
	return string;
}

static void fill(custom_labels_labelset_t *set, int request)
{
	uint8_t trace[16], span[8];
	char value[40];
	request_ids(request, trace, span);
	sprintf(value, "user-%d", request);
	custom_labels_set(set, text("customer"), text(value), NULL);
	hex(value, trace, 16);
	custom_labels_set(set, text("trace_id"), text(value), NULL);
	hex(value, span, 8);
	custom_labels_set(set, text("span_id"), text(value), NULL);
	custom_labels_set(set, text("not wanted"), text("whatever"), NULL);
}

void carrier_start(int requests, const char *style)
{
	in_place = !strcmp(style, "in-place");
	sets = calloc((size_t)requests, sizeof(*sets));
	for (int i = 0; i < requests; i++) {
		sets[i] = custom_labels_new(0);
		for (int n = 0; n < 16 && !strcmp(style, "many"); n++) {
			char key[16];
			sprintf(key, "label_%02d", n);
			custom_labels_set(sets[i], text(key), text("a value"), NULL);
		}
		fill(sets[i], i);
	}
}

void carrier_enter(int request)
{
	if (!in_place) {
		custom_labels_replace(sets[request]);
		return;
	}
	if (!own)
		own = custom_labels_new(0);
	custom_labels_replace(own);
	fill(own, request);
}

void carrier_leave(void)
{
	custom_labels_replace(NULL);
}
