/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Notices the ticks that never reach the sampler. */
#ifndef FLAMETAP_TIMER_H
#define FLAMETAP_TIMER_H

#include "process.h"

/* [0]: the id of ft_sample, by which its events are told from those of others. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, u32);
	__type(value, u32);
	__uint(max_entries, 1);
} ft_sampler SEC(".maps");

/* What timers of events call, perf_swevent_hrtimer: learnt from the first of ours. */
u64 ft_tick_function = 0;

/* Where it is no event's timer what stands there leads nowhere, and no id comes of it. */
static __always_inline int is_ours(struct hrtimer *timer) {
	struct perf_event *event = (void *)timer - bpf_core_field_offset(struct hw_perf_event, hrtimer) -
	                           bpf_core_field_offset(struct perf_event, hw);
	u32 zero = 0;
	u32 *id = bpf_map_lookup_elem(&ft_sampler, &zero);
	return id && BPF_CORE_READ(event, prog, aux, id) == *id;
}

/*
 * Runs at every tick, before the kernel decides whether the sampler may:
 * bpf_overflow_handler leaves it out, and counts nothing, while another program
 * or a system call on a map has raised bpf_prog_active on this CPU. Programs of
 * this type do not heed that count. Other timers pass here too, about as many as
 * the scheduler has ticks: they cost one comparison.
 */
SEC("tp_btf/hrtimer_expire_entry")
int BPF_PROG(ft_timer, struct hrtimer *timer) {
	u64 function = (u64)timer->function;
	if (ft_tick_function && function != ft_tick_function)
		return 0;
	if (!is_ours(timer))
		return 0;
	if (!ft_tick_function)
		ft_tick_function = function;
	u32 zero = 0;
	struct ft_scratch *s = bpf_map_lookup_elem(&ft_scratches, &zero);
	if (!s)
		return 0;
	/* The sampler did not come to the last one. */
	if (s->awaited)
		count(FT_COUNTER_SWALLOWED, 1);
	s->awaited = 0;
	struct task_struct *task = (void *)bpf_get_current_task();
	if (BPF_CORE_READ(task, flags) & TASK_IDLE)
		return 0;
	char comm[FT_COMM_LENGTH] = {};
	if (ft_scope_comm || ft_excludes_comms) {
		struct task_struct *leader = BPF_CORE_READ(task, group_leader);
		BPF_CORE_READ_STR_INTO(&comm, leader, comm);
	}
	if (!in_scope(bpf_get_current_pid_tgid() >> 32, comm))
		return 0;
	s->awaited = 1;
	/* hrtimer_forward_now skips as many. */
	s64 late = bpf_ktime_get_ns() - BPF_CORE_READ(timer, _softexpires);
	if (late >= (s64)ft_period_ns)
		count(FT_COUNTER_LATE, (u64)late / ft_period_ns);
	return 0;
}

#endif
