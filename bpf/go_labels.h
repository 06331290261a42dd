/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * pprof labels of the goroutine that a thread works for. runtime/pprof never writes
 * to what g.labels points at once it is set, and the collector keeps and does not
 * move it: what does not hang together is no set of labels, and none is given.
 */
#ifndef FLAMETAP_GO_LABELS_H
#define FLAMETAP_GO_LABELS_H

#include "goroutine.h"
#include "labels.h"

/* A label of the slice: key and value, two words each. A bucket of the map: what is
 * in its 8 slots, a byte each; 8 keys; 8 values; the bucket that it overflows into. */
#define GO_PAIR_BYTES 32
#define GO_STRING_BYTES 16
#define GO_BUCKET_SLOTS 8
#define GO_BUCKET_KEYS 8
#define GO_BUCKET_VALUES (GO_BUCKET_KEYS + GO_BUCKET_SLOTS * GO_STRING_BYTES)
#define GO_BUCKET_OVERFLOW (GO_BUCKET_VALUES + GO_BUCKET_SLOTS * GO_STRING_BYTES)
#define GO_BUCKET_BYTES (GO_BUCKET_OVERFLOW + 8)
/* The least that stands for a slot in use; below, it is empty or moved away. */
#define GO_SLOT_USED 5

/* Labels read at once, and how often: 128 labels. */
#define GO_PAIRS_AT_ONCE 32
#define GO_SLICE_READS 4
/* 2^4 buckets hold 96 labels, before Go 1.21 104. While a map grows there are half as
 * many old ones besides; the rest is for those that overflow. */
#define GO_MAP_SHIFT 4
#define GO_BUCKET_READS 48
/* hmap.flags */
#define GO_MAP_WRITING 4
#define GO_MAP_SAME_SIZE 8

/* No string is that long, but every pointer into the heap is larger. */
#define GO_STRING_LIMIT (1ULL << 32)

struct go_map {
	u64 count;
	u8 flags;
	u8 shift; /* of the number of buckets */
	u16 overflows;
	u32 seed;
	u64 buckets;
	u64 old;
};

static __always_inline u64 go_chunk_word(struct ft_scratch *s, u32 offset) {
	asm volatile("" : "+r"(offset));
	return *(u64 *)(s->chunk + (offset & (STACK_CHUNK_BYTES - 8)));
}

/* Global functions with a scalar argument: as ft_step they are verified once, not in
 * each round of a loop. What comes of them is noted in go_outcome. */

/* Takes the label whose key stands so far in the chunk, if it is wanted, and whose
 * value so far behind it. */
__weak __attribute__((noinline)) int ft_go_take(u32 key_at, u32 distance) {
	u32 zero = 0;
	struct ft_scratch *s = bpf_map_lookup_elem(&ft_scratches, &zero);
	if (!s)
		return 0;
	u32 value_at = key_at + distance;
	u32 key = wanted_key(s, go_chunk_word(s, key_at), go_chunk_word(s, key_at + 8));
	u32 outcome = s->key_unreadable ? FT_CONTEXT_UNREADABLE : FT_CONTEXT_READ;
	if (key)
		outcome = add_label(s, key - 1, go_chunk_word(s, value_at), go_chunk_word(s, value_at + 8));
	if (outcome > s->go_outcome)
		s->go_outcome = outcome;
	return 0;
}

/* Looks at a label in the chunk; most keys have not the length of one that is wanted. */
static __always_inline void look_at_go_label(struct ft_scratch *s, u32 key_at, u32 distance) {
	u64 length = go_chunk_word(s, key_at + 8);
	if (length >= GO_STRING_LIMIT || go_chunk_word(s, key_at + distance + 8) >= GO_STRING_LIMIT)
		s->go_outcome = FT_CONTEXT_MALFORMED;
	else if (length <= FT_KEY_BYTES && (s->wanted_lengths >> length & 1))
		ft_go_take(key_at, distance);
}

/* The next labels of the slice; nonzero when there are no more. */
__weak __attribute__((noinline)) int ft_go_pairs(u32 unused) {
	u32 zero = 0;
	struct ft_scratch *s = bpf_map_lookup_elem(&ft_scratches, &zero);
	if (!s)
		return 1;
	u64 left = s->go_left;
	u32 count = left < GO_PAIRS_AT_ONCE ? left : GO_PAIRS_AT_ONCE;
	if (!count)
		return 1;
	/* 32 becomes 31 + 1: a mask bounds what the verifier of 5.10 has forgotten. */
	u32 bytes = count - 1;
	asm volatile("" : "+r"(bytes));
	bytes = ((bytes & (GO_PAIRS_AT_ONCE - 1)) + 1) * GO_PAIR_BYTES;
	if (bpf_probe_read_user(s->chunk, bytes, (void *)s->go_next)) {
		s->go_outcome = FT_CONTEXT_UNREADABLE;
		return 1;
	}
	for (u32 i = 0; i < GO_PAIRS_AT_ONCE; i++) {
		if (i >= count)
			break;
		look_at_go_label(s, i * GO_PAIR_BYTES, GO_STRING_BYTES);
	}
	s->go_next += bytes;
	s->go_left = left - count;
	return left == count || s->go_outcome > FT_CONTEXT_TOO_LONG;
}

/* One bucket of the map, and which is the next; nonzero when there is none. */
__weak __attribute__((noinline)) int ft_go_bucket(u32 unused) {
	u32 zero = 0;
	struct ft_scratch *s = bpf_map_lookup_elem(&ft_scratches, &zero);
	if (!s)
		return 1;
	u64 overflow = s->go_overflow;
	if (bpf_probe_read_user(s->chunk, GO_BUCKET_BYTES, (void *)(overflow ? overflow : s->go_next))) {
		s->go_outcome = FT_CONTEXT_UNREADABLE;
		return 1;
	}
	for (u32 i = 0; i < GO_BUCKET_SLOTS; i++) {
		if (s->chunk[i] < GO_SLOT_USED)
			continue;
		look_at_go_label(s, GO_BUCKET_KEYS + i * GO_STRING_BYTES, GO_BUCKET_VALUES - GO_BUCKET_KEYS);
	}
	if (s->go_outcome > FT_CONTEXT_TOO_LONG)
		return 1;
	s->go_overflow = go_chunk_word(s, GO_BUCKET_OVERFLOW);
	if (s->go_overflow)
		return 0;
	s->go_next += GO_BUCKET_BYTES;
	s->go_left--;
	if (s->go_left)
		return 0;
	/* What a map that grows has not moved yet. */
	s->go_next = s->go_old;
	s->go_left = s->go_old_left;
	s->go_old = 0;
	return !s->go_next;
}

static __always_inline u32 read_go_slice(struct ft_scratch *s, u64 labels) {
	struct {
		u64 first;
		u64 count;
		u64 capacity;
	} slice;
	if (bpf_probe_read_user(&slice, sizeof(slice), (void *)labels))
		return FT_CONTEXT_UNREADABLE;
	if (slice.count > slice.capacity || slice.capacity >= GO_STRING_LIMIT)
		return FT_CONTEXT_MALFORMED;
	if (!slice.count)
		return FT_CONTEXT_NONE;
	if (!slice.first || (slice.first & 7))
		return FT_CONTEXT_MALFORMED;
	s->go_next = slice.first;
	s->go_left = slice.count;
	for (u32 i = 0; i < GO_SLICE_READS; i++)
		if (ft_go_pairs(i))
			return s->go_outcome;
	return FT_CONTEXT_TOO_LONG;
}

static __always_inline u32 read_go_map(struct ft_scratch *s, u64 labels) {
	u64 address = 0;
	struct go_map map;
	if (bpf_probe_read_user(&address, 8, (void *)labels))
		return FT_CONTEXT_UNREADABLE;
	if (!address)
		return FT_CONTEXT_NONE;
	if (bpf_probe_read_user(&map, sizeof(map), (void *)address))
		return FT_CONTEXT_UNREADABLE;
	if (!map.count)
		return FT_CONTEXT_NONE;
	if (map.flags & GO_MAP_WRITING)
		return FT_CONTEXT_CHANGING;
	if (map.count >= GO_STRING_LIMIT || map.shift >= 64 || !map.buckets || ((map.buckets | map.old) & 7))
		return FT_CONTEXT_MALFORMED;
	if (map.shift > GO_MAP_SHIFT)
		return FT_CONTEXT_TOO_LONG;
	s->go_next = map.buckets;
	s->go_left = 1ULL << (map.shift & 7);
	s->go_overflow = 0;
	s->go_old = map.old;
	s->go_old_left = map.flags & GO_MAP_SAME_SIZE ? s->go_left : s->go_left >> 1;
	if (map.old && !s->go_old_left)
		return FT_CONTEXT_MALFORMED;
	for (u32 i = 0; i < GO_BUCKET_READS; i++)
		if (ft_go_bucket(i))
			return s->go_outcome;
	return FT_CONTEXT_TOO_LONG;
}

/* Call it behind read_goroutine. Returns enum ft_context. */
static __always_inline u32 read_go_labels(struct ft_scratch *s) {
	switch (s->sample.go_state) {
	case FT_GO_GOROUTINE:
	case FT_GO_SIGNAL: break;
	case FT_GO_UNREADABLE: return FT_CONTEXT_UNREADABLE;
	case FT_GO_CHANGING: return FT_CONTEXT_CHANGING;
	default: return FT_CONTEXT_NONE;
	}
	/* Only then go_g holds the goroutine. */
	if (!s->sample.goid)
		return FT_CONTEXT_NONE;
	u64 labels = go_word(s->go_g, s->process.go_labels);
	if (!labels)
		return FT_CONTEXT_NONE;
	if (labels & 7)
		return FT_CONTEXT_MALFORMED;
	u32 before = s->label_bytes;
	s->go_outcome = FT_CONTEXT_READ;
	u32 outcome =
	    s->process.go_labels_form == FT_GO_LABELS_MAP ? read_go_map(s, labels) : read_go_slice(s, labels);
	return outcome == FT_CONTEXT_READ && s->label_bytes == before ? FT_CONTEXT_NONE : outcome;
}

#endif
