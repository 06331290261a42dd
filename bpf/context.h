/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* All carriers of a process, one after the other. */
#ifndef FLAMETAP_CONTEXT_H
#define FLAMETAP_CONTEXT_H

#include "custom_labels.h"
#include "go_labels.h"
#include "labels.h"
#include "node_context.h"
#include "thread_context.h"

/* A reader that gave up half way has no labels. */
static __always_inline u32 settled(struct ft_scratch *s, u32 before, u32 outcome) {
	if (outcome > FT_CONTEXT_TOO_LONG)
		s->label_bytes = before;
	return outcome;
}

/* Of two carriers that of which there is more to say. */
static __always_inline u32 worse(u32 one, u32 other) {
	return one > other ? one : other;
}

/* Fills the labels of the sample; returns enum ft_context. */
static __always_inline u32 read_context(struct ft_scratch *s) {
	struct ft_process *p = &s->process;
	u32 outcome = FT_CONTEXT_NONE;
	if (!p->go_labels && !p->node && !p->thread_context.kind && !p->custom_labels.kind)
		return outcome;
	u32 zero = 0;
	u64 *lengths = bpf_map_lookup_elem(&ft_wanted_lengths, &zero);
	s->wanted_lengths = lengths ? *lengths : 0;
	if (p->thread_context.kind) {
		u32 before = s->label_bytes;
		outcome = worse(outcome, settled(s, before, ft_read_thread_context(0)));
	}
	if (p->go_labels) {
		u32 before = s->label_bytes;
		outcome = worse(outcome, settled(s, before, read_go_labels(s)));
	}
	if (p->custom_labels.kind) {
		u32 before = s->label_bytes;
		outcome = worse(outcome, settled(s, before, ft_read_custom_labels(0)));
	}
	if (p->node) {
		u32 before = s->label_bytes;
		outcome = worse(outcome, settled(s, before, read_node_context(s)));
	}
	return outcome;
}

#endif
