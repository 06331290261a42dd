// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
/* What the kernel's own frame-pointer walk costs: only bpf_get_stack of the user stack. */
#include <linux/bpf.h>
#include <linux/bpf_perf_event.h>
#include <bpf/bpf_helpers.h>

#define FRAMES 127

struct stack {
	__u64 addresses[FRAMES];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct stack);
} base_stacks SEC(".maps");

/* [0] samples, [1] frames */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} base_counts SEC(".maps");

SEC("perf_event")
int base_get_stack(struct bpf_perf_event_data *ctx)
{
	__u32 zero = 0, one = 1;
	if ((__u32)bpf_get_current_pid_tgid() == 0)
		return 0;
	struct stack *stack = bpf_map_lookup_elem(&base_stacks, &zero);
	__u64 *samples = bpf_map_lookup_elem(&base_counts, &zero);
	__u64 *frames = bpf_map_lookup_elem(&base_counts, &one);
	if (!stack || !samples || !frames)
		return 0;
	long bytes = bpf_get_stack(ctx, stack, sizeof(*stack), BPF_F_USER_STACK);
	*samples += 1;
	if (bytes > 0)
		*frames += (__u64)bytes / 8;
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
