/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * Which goroutine a thread runs at the moment of the sample. The thread stands
 * still meanwhile, so nothing that belongs to it changes while it is read; but it
 * may stand in the midst of a switch from one goroutine to another, where g, m and
 * curg do not agree: then none is given.
 */
#ifndef FLAMETAP_GOROUTINE_H
#define FLAMETAP_GOROUTINE_H

#include "maps.h"

/* Bytes that hold all that is used, in every release: g up to labels, m up to
 * curg. Both structures are longer. A read costs 25 ns however long. */
#define GO_G_BYTES 376
#define GO_M_BYTES 200

/* runtime2.go, unchanged from 1.16 to 1.27: a goroutine that runs is runnable (being
 * put back), running, in a system call, waiting (being parked, or the world is
 * stopped on its behalf), copying its stack or being preempted; idle and dead ones
 * do not run. The bit 0x1000 says that the collector looks at it. */
#define GO_STATUS_SCAN 0x1000u
#define GO_STATUS_RUNS (1u << 1 | 1u << 2 | 1u << 3 | 1u << 4 | 1u << 8 | 1u << 9)

static __always_inline u64 go_word(const u64 *structure, u32 offset) {
	offset = (offset >> 3) & (GO_STRUCT_WORDS - 1);
	asm volatile("" : "+r"(offset));
	return structure[offset & (GO_STRUCT_WORDS - 1)];
}

/* Fills the goroutine's fields of the sample; returns enum ft_go_state. */
static __always_inline u32 read_goroutine(struct ft_scratch *s) {
	struct ft_process *p = &s->process;
	u64 g = 0;
	if (bpf_probe_read_user(&g, 8, (void *)(s->fs_base - p->go_g_offset)))
		return FT_GO_UNREADABLE;
	if (!g)
		return FT_GO_FOREIGN;
	if (bpf_probe_read_user(s->go_g, GO_G_BYTES, (void *)g))
		return FT_GO_UNREADABLE;
	u64 m = go_word(s->go_g, p->go_m);
	if (!m || bpf_probe_read_user(s->go_m, GO_M_BYTES, (void *)m))
		return FT_GO_UNREADABLE;
	u64 g0 = s->go_m[0];
	u64 curg = go_word(s->go_m, p->go_curg);
	u32 state = FT_GO_GOROUTINE;
	if (g == go_word(s->go_m, p->go_gsignal))
		state = FT_GO_SIGNAL;
	else if (g != g0 && g != curg)
		return FT_GO_CHANGING;
	if (!curg)
		return state == FT_GO_SIGNAL ? FT_GO_SIGNAL : FT_GO_SCHEDULER;
	if (g != curg) {
		u8 in_c = 0;
		/* A thread made by C keeps its goroutine between two calls into Go. */
		if (p->go_in_c && bpf_probe_read_user(&in_c, 1, (void *)(m + p->go_in_c)))
			return FT_GO_UNREADABLE;
		if (in_c)
			return FT_GO_FOREIGN;
		if (bpf_probe_read_user(s->go_g, GO_G_BYTES, (void *)curg))
			return FT_GO_UNREADABLE;
		if (go_word(s->go_g, p->go_m) != m)
			return FT_GO_CHANGING;
	}
	u32 status = (u32)go_word(s->go_g, p->go_goid - 8) & ~GO_STATUS_SCAN;
	u64 goid = go_word(s->go_g, p->go_goid);
	if (status > 31 || !(GO_STATUS_RUNS >> status & 1) || !goid || goid >> 48)
		return FT_GO_CHANGING;
	s->sample.goid = goid;
	s->sample.go_creator = go_word(s->go_g, p->go_gopc);
	s->sample.go_start = go_word(s->go_g, p->go_gopc + 16);
	return state;
}

/* g.m lies there in every release. */
#define GO_M_WORD (48 / 8)
#define GO_CURG_WORD (FT_GO_CURG_OFFSET / 8)

static __always_inline void copy_goroutine(struct ft_go_copy *copy, u64 fs_base) {
	u64 g = 0;
	if (!fs_base || bpf_probe_read_user(&g, 8, (void *)(fs_base - 8)) || !g ||
	    bpf_probe_read_user(copy->g_words, sizeof(copy->g_words), (void *)g))
		return;
	u64 m = copy->g_words[GO_M_WORD];
	if (!m || bpf_probe_read_user(copy->m_words, sizeof(copy->m_words), (void *)m))
		return;
	copy->g = g;
	u64 first = copy->m_words[GO_CURG_WORD];
	u64 second = copy->m_words[GO_CURG_WORD + 1];
	if (first && first != g)
		bpf_probe_read_user(copy->curg_words[0], sizeof(copy->curg_words[0]), (void *)first);
	if (second && second != g)
		bpf_probe_read_user(copy->curg_words[1], sizeof(copy->curg_words[1]), (void *)second);
}

#endif
