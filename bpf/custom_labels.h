/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * custom-labels v1: a thread-local pointer to a set of labels, an array of pairs of
 * strings. A pair without a key is a hole; of pairs with the same key the first counts.
 */
#ifndef FLAMETAP_CUSTOM_LABELS_H
#define FLAMETAP_CUSTOM_LABELS_H

#include "labels.h"

struct ft_custom_label {
	u64 key_length;
	u64 key; /* 0 = a hole */
	u64 value_length;
	u64 value;
};

struct ft_custom_set {
	u64 storage;
	u64 count;
};

/* As many as the chunk holds, which the unwinder has done with: one read. */
#define CUSTOM_LABELS (STACK_CHUNK_BYTES / sizeof(struct ft_custom_label))

static __always_inline struct ft_custom_label *custom_label(struct ft_scratch *s, u32 number) {
	return (struct ft_custom_label *)s->chunk + (number & (CUSTOM_LABELS - 1));
}

/* One label of those in the chunk whose key may be wanted. Global with a scalar
 * argument for the verifier, as ft_step is. Returns enum ft_context. */
__weak __attribute__((noinline)) int ft_add_custom_label(u32 number) {
	u32 zero = 0;
	struct ft_scratch *s = bpf_map_lookup_elem(&ft_scratches, &zero);
	if (!s)
		return FT_CONTEXT_NONE;
	struct ft_custom_label *label = custom_label(s, number);
	u32 key = wanted_key(s, label->key, label->key_length);
	if (!key)
		return s->key_unreadable ? FT_CONTEXT_UNREADABLE : FT_CONTEXT_NONE;
	key = (key - 1) & (FT_WANTED_KEYS - 1);
	if (s->seen_keys >> key & 1)
		return FT_CONTEXT_NONE;
	s->seen_keys |= 1ULL << key;
	if (!label->value)
		return FT_CONTEXT_MALFORMED;
	return add_label(s, key, label->value, label->value_length);
}

/* All labels in the chunk; global for the same reason. Returns enum ft_context. */
__weak __attribute__((noinline)) int ft_add_custom_labels(u32 count) {
	u32 zero = 0;
	struct ft_scratch *s = bpf_map_lookup_elem(&ft_scratches, &zero);
	if (!s)
		return FT_CONTEXT_NONE;
	u32 outcome = FT_CONTEXT_NONE;
	for (u32 i = 0; i < CUSTOM_LABELS; i++) {
		if (i >= count)
			break;
		struct ft_custom_label *label = custom_label(s, i);
		u64 length = label->key_length;
		if (!label->key || length > FT_KEY_BYTES || !(s->wanted_lengths >> (length & 63) & 1))
			continue;
		u32 added = ft_add_custom_label(i);
		if (added > outcome)
			outcome = added;
	}
	return outcome;
}

/* Adds the wanted ones of a set; Node's may be one too, so it is global as well.
 * Returns enum ft_context. */
__weak __attribute__((noinline)) int ft_add_label_set(u64 address) {
	u32 zero = 0;
	struct ft_scratch *s = bpf_map_lookup_elem(&ft_scratches, &zero);
	struct ft_custom_set set = {};
	if (!s)
		return FT_CONTEXT_NONE;
	if (bpf_probe_read_user(&set, sizeof(set), (void *)address))
		return FT_CONTEXT_UNREADABLE;
	if (!set.count)
		return FT_CONTEXT_NONE;
	if (!set.storage)
		return FT_CONTEXT_MALFORMED;
	u32 outcome = FT_CONTEXT_NONE;
	u32 count = set.count;
	if (set.count > CUSTOM_LABELS) {
		count = CUSTOM_LABELS;
		outcome = FT_CONTEXT_TOO_LONG;
	}
	/* The mask is for the verifier of 5.10, which forgets the comparison. */
	u64 last = count - 1;
	asm volatile("" : "+r"(last));
	last &= CUSTOM_LABELS - 1;
	u32 bytes = (last + 1) * sizeof(struct ft_custom_label);
	if (bpf_probe_read_user(s->chunk, bytes, (void *)set.storage))
		return FT_CONTEXT_UNREADABLE;
	s->seen_keys = 0;
	s->key_unreadable = 0;
	u32 added = ft_add_custom_labels(count);
	if (added > outcome)
		outcome = added;
	struct ft_custom_set again = {};
	if (bpf_probe_read_user(&again, sizeof(again), (void *)address) || again.storage != set.storage ||
	    again.count != set.count)
		return FT_CONTEXT_CHANGING;
	return outcome;
}

/* Returns enum ft_context. Global with a scalar argument for the verifier, as ft_step is. */
__weak __attribute__((noinline)) int ft_read_custom_labels(u32 unused) {
	u32 zero = 0;
	struct ft_scratch *s = bpf_map_lookup_elem(&ft_scratches, &zero);
	if (!s)
		return FT_CONTEXT_NONE;
	u64 variable = tls_address(s, &s->process.custom_labels);
	if (!variable)
		return FT_CONTEXT_NONE;
	u64 set = 0;
	if (bpf_probe_read_user(&set, 8, (void *)variable))
		return FT_CONTEXT_UNREADABLE;
	if (!set)
		return FT_CONTEXT_NONE;
	u32 outcome = ft_add_label_set(set);
	u64 again = 0;
	if (outcome != FT_CONTEXT_NONE && (bpf_probe_read_user(&again, 8, (void *)variable) || again != set))
		return FT_CONTEXT_CHANGING;
	return outcome;
}

#endif
