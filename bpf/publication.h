/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Notices that a process publishes its OpenTelemetry process context (OTEP 4719). */
#ifndef FLAMETAP_PUBLICATION_H
#define FLAMETAP_PUBLICATION_H

#include "process.h"

/* include/uapi/linux/prctl.h */
#define PR_SET_VMA 0x53564d41
#define PR_SET_VMA_ANON_NAME 0

/* News of one process within this time is one piece of news: whoever names its
 * memory in a loop cannot fill the ring. Longer than a drain would lose updates
 * until the next flush. */
#define PUBLICATION_PAUSE_NS (10 * 1000 * 1000)

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, u32);   /* host pid of the thread group */
	__type(value, u64); /* when it was last told */
	__uint(max_entries, 1024);
} ft_publications SEC(".maps");

/* Publishers name their mapping "OTEL_CTX" after they have written it, each time
 * and whatever comes of it. Go, malloc and others name theirs too. */
static __always_inline int is_context_name(const char *name) {
	const char wanted[9] = "OTEL_CTX";
	char found[sizeof(wanted)] = {};
	/* Not in memory yet: the reader will see. */
	if (bpf_probe_read_user_str(found, sizeof(found), name) < 0)
		return 1;
#pragma unroll
	for (u32 i = 0; i < sizeof(wanted); i++) {
		if (found[i] != wanted[i])
			return 0;
	}
	return 1;
}

/* Not a tracepoint: those of system calls slow down every call of the machine. */
SEC("kprobe/__x64_sys_prctl")
int ft_publication(struct ft_registers *ctx) {
	struct ft_registers call;
	/* The function's only argument is the registers of the caller. */
	if (bpf_probe_read_kernel(&call, sizeof(call), (const void *)ctx->rdi) ||
	    (u32)call.rdi != PR_SET_VMA || call.rsi != PR_SET_VMA_ANON_NAME)
		return 0;
	u32 pid = bpf_get_current_pid_tgid() >> 32;
	if (ft_scope_pids && !bpf_map_lookup_elem(&ft_scope, &pid))
		return 0;
	if (!is_context_name((const char *)call.r8))
		return 0;
	u64 now = bpf_ktime_get_ns();
	u64 *last = bpf_map_lookup_elem(&ft_publications, &pid);
	if (last && now - *last < PUBLICATION_PAUSE_NS)
		return 0;
	bpf_map_update_elem(&ft_publications, &pid, &now, BPF_ANY);
	struct task_struct *task = (void *)bpf_get_current_task();
	struct ft_process_event event = {};
	read_identity(BPF_CORE_READ(task, group_leader), &event.header.process);
	send_event(&event, FT_RECORD_CONTEXT);
	return 0;
}

#endif
