/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * OTEP 4947: a thread-local pointer to the record of the request that the thread
 * works for. Only the thread itself writes it, and it stands still; but whether it
 * keeps to that is its own affair, so the record is copied and then looked at again.
 */
#ifndef FLAMETAP_THREAD_CONTEXT_H
#define FLAMETAP_THREAD_CONTEXT_H

#include "labels.h"

/* What a record has at least. */
struct ft_thread_record {
	u64 trace_id[2];
	u64 span_id;
	u8 valid; /* 1; 0 = being written, or nobody's; others are reserved */
	u8 flags;
	u16 attributes; /* bytes of attributes that follow */
};
#define THREAD_RECORD_HEAD 28
/* The standard advises writers to stay at 640 bytes with the head. */
#define THREAD_RECORD_ATTRIBUTES 640

static __always_inline int read_record_head(struct ft_thread_record *record, u64 address) {
	return bpf_probe_read_user(record, THREAD_RECORD_HEAD, (void *)address);
}

/* Copies the record at `address`; returns enum ft_context. */
static __always_inline u32 copy_thread_record(struct ft_scratch *s, u64 address) {
	struct ft_thread_record record = {};
	if (address & 1)
		return FT_CONTEXT_MALFORMED;
	if (read_record_head(&record, address))
		return FT_CONTEXT_UNREADABLE;
	if (!record.valid)
		return FT_CONTEXT_NONE;
	int has_trace = (record.trace_id[0] | record.trace_id[1]) != 0;
	if (record.valid != 1 || has_trace != (record.span_id != 0))
		return FT_CONTEXT_MALFORMED;
	if (!has_trace && !record.attributes)
		return FT_CONTEXT_NONE;
	u32 outcome = FT_CONTEXT_READ;
	u32 bytes = THREAD_RECORD_HEAD + record.attributes;
	if (record.attributes > THREAD_RECORD_ATTRIBUTES) {
		/* The ids are what matters, and they stand in front. */
		outcome = FT_CONTEXT_TOO_LONG;
		bytes = THREAD_RECORD_HEAD;
	}
	u32 added = add_label(s, FT_LABEL_THREAD_CONTEXT, address, bytes);
	if (added != FT_CONTEXT_READ)
		return added;
	struct ft_thread_record again = {};
	if (read_record_head(&again, address))
		return FT_CONTEXT_UNREADABLE;
	if (again.trace_id[0] != record.trace_id[0] || again.trace_id[1] != record.trace_id[1] ||
	    again.span_id != record.span_id || again.valid != record.valid ||
	    again.attributes != record.attributes)
		return FT_CONTEXT_CHANGING;
	return outcome;
}

/* Returns enum ft_context. Global with a scalar argument for the verifier, as ft_step is. */
__weak __attribute__((noinline)) int ft_read_thread_context(u32 unused) {
	u32 zero = 0;
	struct ft_scratch *s = bpf_map_lookup_elem(&ft_scratches, &zero);
	if (!s)
		return FT_CONTEXT_NONE;
	u64 variable = tls_address(s, &s->process.thread_context);
	if (!variable)
		return FT_CONTEXT_NONE;
	u64 record = 0;
	if (bpf_probe_read_user(&record, 8, (void *)variable))
		return FT_CONTEXT_UNREADABLE;
	if (!record)
		return FT_CONTEXT_NONE;
	u32 outcome = copy_thread_record(s, record);
	u64 again = 0;
	if (outcome != FT_CONTEXT_NONE &&
	    (bpf_probe_read_user(&again, 8, (void *)variable) || again != record))
		return FT_CONTEXT_CHANGING;
	return outcome;
}

#endif
