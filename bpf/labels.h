/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * The labels that a sample leaves with. Whatever is read here belongs to somebody
 * else: lengths and links are bounded before they are used, and a reader that is
 * not sure gives none.
 */
#ifndef FLAMETAP_LABELS_H
#define FLAMETAP_LABELS_H

#include "maps.h"

/* Number of a wanted key plus one; 0 = it is not wanted, or with key_unreadable it
 * cannot be said. */
static __always_inline u32 wanted_key(struct ft_scratch *s, u64 key, u64 length) {
	s->key_unreadable = 0;
	if (!length || length > FT_KEY_BYTES || !(s->wanted_lengths >> length & 1))
		return 0;
	for (int i = 0; i < FT_KEY_BYTES / 8; i++)
		s->key.words[i] = 0;
	/* Not more than there is: behind it may lie no memory. The mask is for the
	 * verifier of 5.10, which forgets the comparison: 32 becomes 0 + 32. */
	u32 bytes = (u32)(length - 1) & (FT_KEY_BYTES - 1);
	asm volatile("" : "+r"(bytes));
	bytes = (bytes & (FT_KEY_BYTES - 1)) + 1;
	if (bpf_probe_read_user(&s->key, bytes, (void *)key)) {
		s->key_unreadable = 1;
		return 0;
	}
	u32 *number = bpf_map_lookup_elem(&ft_wanted, &s->key);
	return number ? *number + 1 : 0;
}

/* Both ids by two names each. */
#define ID_BYTES 128

/* Appends a label whose value lies in the process's memory; returns enum ft_context. */
static __always_inline u32 add_label(struct ft_scratch *s, u32 key, u64 value, u64 length) {
	if (!length)
		return FT_CONTEXT_READ;
	if (length > FT_LABEL_VALUE_BYTES)
		return FT_CONTEXT_TOO_LONG;
	u32 at = s->label_bytes;
	u32 bytes = length;
	u32 padded = (sizeof(struct ft_label) + bytes + 7) & ~7u;
	/* Other labels leave room for the ids, which may stand behind them. */
	u32 room =
	    key < ft_id_keys || key >= FT_LABEL_THREAD_CONTEXT ? FT_LABEL_BYTES : FT_LABEL_BYTES - ID_BYTES;
	if (at + padded > room)
		return FT_CONTEXT_TOO_LONG;
	asm volatile("" : "+r"(at), "+r"(bytes));
	at &= FT_LABEL_BYTES - 1;
	bytes &= 1023;
	/* The last word first: its end is the padding. */
	u32 last = at + ((bytes + sizeof(struct ft_label) - 1) & 1016);
	*(u64 *)(s->labels + (last & 2040)) = 0;
	struct ft_label *label = (void *)(s->labels + at);
	label->key = key;
	label->bytes = bytes;
	if (bpf_probe_read_user(s->labels + at + sizeof(*label), bytes, (void *)value))
		return FT_CONTEXT_UNREADABLE;
	s->label_bytes = at + padded;
	return FT_CONTEXT_READ;
}

/* No variable lies there, and reading it fails. */
#define TLS_UNREADABLE 1ULL

#define DTV_STEP_GLIBC 16

/* Address of the variable in this thread, 0 = it has none (yet). The vector of
 * blocks (dtv) is as long as the thread has needed so far: glibc keeps how long
 * before it, and in its first entry up to which generation of libraries the thread
 * has followed; an entry older than the module may still lead to the block of a
 * library that was unloaded. musl's begins with its length. */
static __always_inline u64 tls_address(struct ft_scratch *s, const struct ft_tls *tls) {
	if (!s->fs_base || tls->kind == FT_TLS_NONE)
		return 0;
	if (tls->kind == FT_TLS_STATIC)
		return s->fs_base + tls->offset;
	u64 vector = 0;
	if (bpf_probe_read_user(&vector, 8, (void *)(s->fs_base + 8)))
		return TLS_UNREADABLE;
	if (!vector)
		return 0;
	u64 head[3] = {};
	if (tls->dtv_step == DTV_STEP_GLIBC) {
		if (bpf_probe_read_user(head, 24, (void *)(vector - 16)))
			return TLS_UNREADABLE;
		if (head[2] < tls->generation)
			return 0;
	} else if (bpf_probe_read_user(head, 8, (void *)vector)) {
		return TLS_UNREADABLE;
	}
	u64 block = 0;
	if (tls->module > head[0])
		return 0;
	if (bpf_probe_read_user(&block, 8, (void *)(vector + (u64)tls->module * tls->dtv_step)))
		return TLS_UNREADABLE;
	/* glibc: -1 until the thread first uses it */
	return !block || block + 1 == 0 ? 0 : block + tls->offset;
}

#endif
