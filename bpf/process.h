/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Who is running, who is in scope, and what happens to processes. */
#ifndef FLAMETAP_PROCESS_H
#define FLAMETAP_PROCESS_H

#include "maps.h"

static __always_inline void read_identity(struct task_struct *leader, struct ft_identity *out) {
	out->pid = BPF_CORE_READ(leader, tgid);
	out->start_ns = BPF_CORE_READ(leader, start_boottime);
	out->exec_id = (u32)BPF_CORE_READ(leader, self_exec_id);
}

static __always_inline int is_excluded(u32 pid, const char *comm) {
	if (ft_excludes_pids && bpf_map_lookup_elem(&ft_excluded_pids, &pid))
		return 1;
	if (ft_excludes_comms) {
		struct ft_comm key = {};
#pragma unroll
		for (int i = 0; i < FT_COMM_LENGTH; i++) {
			if (!comm[i])
				break;
			key.name[i] = comm[i];
		}
		if (bpf_map_lookup_elem(&ft_excluded_comms, &key))
			return 1;
	}
#pragma unroll
	for (int i = 0; i < FT_EXCLUDED_CGROUPS; i++) {
		if (!ft_excluded_cgroups[i])
			break;
		if (ancestor_cgroup_id(ft_excluded_cgroup_levels[i]) == ft_excluded_cgroups[i])
			return 1;
	}
	return 0;
}

/* Decided before any stack is touched. */
static __always_inline int in_scope(u32 pid, const char *comm) {
	if (ft_scope_pids && !bpf_map_lookup_elem(&ft_scope, &pid))
		return 0;
	if (ft_scope_comm) {
#pragma unroll
		for (int i = 0; i < FT_COMM_LENGTH; i++) {
			if (comm[i] != ft_scope_comm_name[i])
				return 0;
			if (!comm[i])
				break;
		}
	}
	if (ft_scope_cgroup && ancestor_cgroup_id(ft_scope_cgroup_level) != ft_scope_cgroup)
		return 0;
	return !is_excluded(pid, comm);
}

static __always_inline void send_event(struct ft_process_event *event, u16 type) {
	u32 cpu = bpf_get_smp_processor_id();
	void *ring = ring_of(cpu);
	event->header.length = sizeof(*event);
	event->header.type = type;
	event->header.cpu = cpu;
	event->header.time_ns = bpf_ktime_get_ns();
	if (!ring) {
		count(FT_COUNTER_EVENT_RING_FULL, 1);
		return;
	}
	/* A storm of short processes has few samples that would wake the reader. */
	u64 flags = bpf_ringbuf_query(ring, BPF_RB_AVAIL_DATA) >= ft_watermark ? BPF_RB_FORCE_WAKEUP
	                                                                       : BPF_RB_NO_WAKEUP;
	if (bpf_ringbuf_output(ring, event, sizeof(*event), flags))
		count(FT_COUNTER_EVENT_RING_FULL, 1);
}

/* A loop of vfork() makes 10,000 processes a second on a CPU, hardly one of which is ever sampled;
 * to be told of all of them would keep the reader from everything else. */
#define FORKS_TOLD_PER_SECOND 256

static __always_inline int is_told(void) {
	u32 zero = 0;
	struct ft_forks *forks = bpf_map_lookup_elem(&ft_fork_rates, &zero);
	if (!forks)
		return 1;
	u64 now = bpf_ktime_get_ns();
	if (now - forks->since_ns >= 1000 * 1000 * 1000) {
		forks->since_ns = now;
		forks->told = 0;
	}
	if (forks->told >= FORKS_TOLD_PER_SECOND)
		return 0;
	forks->told++;
	return 1;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(ft_exec, struct task_struct *task) {
	struct ft_process_event event = {};
	struct task_struct *leader = BPF_CORE_READ(task, group_leader);
	u32 pid = BPF_CORE_READ(task, tgid);
	/* The old image is gone: rules placed by its mappings would be wrong now. */
	bpf_map_delete_elem(&ft_processes, &pid);
	bpf_map_delete_elem(&ft_untold, &pid);
	if (ft_scope_pids && !bpf_map_lookup_elem(&ft_scope, &pid))
		return 0;
	read_identity(leader, &event.header.process);
	BPF_CORE_READ_STR_INTO(&event.comm, leader, comm);
	send_event(&event, FT_RECORD_EXEC);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(ft_exit, struct task_struct *task) {
	/* Called for each thread; `live` counts those that have not come here. */
	if (BPF_CORE_READ(task, signal, live.counter) != 0)
		return 0;
	struct ft_process_event event = {};
	u32 pid = BPF_CORE_READ(task, tgid);
	bpf_map_delete_elem(&ft_processes, &pid);
	if (ft_excludes_pids)
		bpf_map_delete_elem(&ft_excluded_pids, &pid);
	if (ft_scope_pids && bpf_map_delete_elem(&ft_scope, &pid))
		return 0;
	if (!bpf_map_delete_elem(&ft_untold, &pid))
		return 0;
	read_identity(BPF_CORE_READ(task, group_leader), &event.header.process);
	send_event(&event, FT_RECORD_EXIT);
	return 0;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(ft_fork, struct task_struct *parent, struct task_struct *child) {
	u32 parent_pid = BPF_CORE_READ(parent, tgid);
	u32 child_pid = BPF_CORE_READ(child, tgid);
	if (parent_pid == child_pid)
		return 0; /* a thread */
	if (ft_excludes_pids && bpf_map_lookup_elem(&ft_excluded_pids, &parent_pid)) {
		u8 one = 1;
		if (bpf_map_update_elem(&ft_excluded_pids, &child_pid, &one, BPF_ANY))
			count(FT_COUNTER_PROCESS_MAP_FULL, 1);
	}
	if (ft_scope_pids) {
		u8 one = 1;
		if (!ft_scope_children || !bpf_map_lookup_elem(&ft_scope, &parent_pid))
			return 0;
		if (bpf_map_update_elem(&ft_scope, &child_pid, &one, BPF_ANY))
			count(FT_COUNTER_PROCESS_MAP_FULL, 1);
	}
	if (is_told()) {
		bpf_map_delete_elem(&ft_untold, &child_pid);
	} else {
		u8 one = 1;
		if (!bpf_map_update_elem(&ft_untold, &child_pid, &one, BPF_ANY)) {
			count(FT_COUNTER_FORKS_UNTOLD, 1);
			return 0;
		}
	}
	struct ft_process_event event = {};
	read_identity(child, &event.header.process);
	read_identity(BPF_CORE_READ(parent, group_leader), (void *)&event.parent_pid);
	BPF_CORE_READ_STR_INTO(&event.comm, child, comm);
	/* A child starts with its parent's mappings, so with its slice. */
	struct ft_process *known = bpf_map_lookup_elem(&ft_processes, &parent_pid);
	if (known) {
		struct ft_process copy = *known;
		if (copy.identity.exec_id == event.parent_exec_id &&
		    copy.identity.start_ns == event.parent_start_ns) {
			copy.identity = event.header.process;
			copy.used_ns = 0;
			if (bpf_map_update_elem(&ft_processes, &child_pid, &copy, BPF_ANY))
				count(FT_COUNTER_PROCESS_MAP_FULL, 1);
		}
	}
	send_event(&event, FT_RECORD_FORK);
	return 0;
}

#endif
