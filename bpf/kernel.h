/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * What we use of the kernel, and the differences between its versions. Only the
 * fields that we read are declared; CO-RE finds their offsets in the running
 * kernel's BTF, so no generated vmlinux.h is needed to build.
 */
#ifndef FLAMETAP_KERNEL_H
#define FLAMETAP_KERNEL_H

#include <linux/bpf.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "record.h"

typedef ft_u8 u8;
typedef ft_u16 u16;
typedef ft_u32 u32;
typedef ft_u64 u64;
typedef ft_s32 s32;
typedef long long s64;

#define PRESERVE __attribute__((preserve_access_index))

struct thread_struct {
	unsigned long fsbase;
} PRESERVE;

struct signal_struct {
	struct {
		int counter;
	} live;
} PRESERVE;

struct mm_struct {
	unsigned long end_code;
	unsigned long start_stack;
} PRESERVE;

/* ancestor_ids gave way to ancestors in commit 7f203bc89eb6 ("cgroup: Replace
 * cgroup->ancestor_ids[] with ->ancestors[]"), 6.1. */
struct cgroup___before_6_1 {
	int level;
	u64 ancestor_ids[1];
} PRESERVE;

struct css_set {
	struct cgroup___before_6_1 *dfl_cgrp;
} PRESERVE;

struct task_struct {
	void *stack;
	struct css_set *cgroups;
	unsigned int flags;
	int pid;
	int tgid;
	struct task_struct *group_leader;
	u64 start_boottime;
	u64 self_exec_id;
	struct mm_struct *mm;
	struct signal_struct *signal;
	char comm[FT_COMM_LENGTH];
	struct thread_struct thread;
} PRESERVE;

struct hrtimer {
	s64 _softexpires;
	void *function;
} PRESERVE;

struct hw_perf_event {
	struct hrtimer hrtimer;
} PRESERVE;

struct bpf_prog_aux {
	u32 id;
} PRESERVE;

struct bpf_prog {
	struct bpf_prog_aux *aux;
} PRESERVE;

struct perf_event {
	struct hw_perf_event hw;
	struct bpf_prog *prog;
} PRESERVE;

/* PF_KTHREAD and PF_IDLE of include/linux/sched.h, unchanged since 2.6 and 4.10. */
#define TASK_KERNEL_THREAD 0x00200000
#define TASK_IDLE 0x00000002

/* x86-64 struct pt_regs. Declared here because the kernel's own declares cs as
 * u16 from 6.9 on, and a 2-byte load at that offset of a perf_event context is
 * refused by the verifier. */
struct ft_registers {
	u64 r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8;
	u64 rax, rcx, rdx, rsi, rdi, orig_rax, rip, cs, flags, rsp, ss;
};

struct ft_perf_context {
	struct ft_registers regs;
	u64 sample_period;
	u64 addr;
};

#define CS_RING_MASK 3u
#define CS_USER_64 0x33u

/* Without CONFIG_KASAN the x86-64 kernel stack is 16 KiB with pt_regs at its
 * top; that holds for every kernel older than 5.15. */
#define KERNEL_STACK_BYTES 16384

/* Id of the cgroup at this level of the current task's path, 0 = it is not so
 * deep. 5.10 has the helper, but not for perf_event programs. */
static __always_inline u64 ancestor_cgroup_id(u32 level) {
	if (!bpf_core_field_exists(struct cgroup___before_6_1, ancestor_ids))
		return bpf_get_current_ancestor_cgroup_id(level);
	struct task_struct *task = (void *)bpf_get_current_task();
	struct cgroup___before_6_1 *cgroup = BPF_CORE_READ(task, cgroups, dfl_cgrp);
	u64 id = 0;
	if (level > (u32)BPF_CORE_READ(cgroup, level) ||
	    bpf_probe_read_kernel(&id, sizeof(id), (const char *)&cgroup->ancestor_ids + level * 8ULL))
		return 0;
	return id;
}

/* Registers of the current task as it entered the kernel.
 * bpf_task_pt_regs: commit dd6e10fbd9fb ("bpf: Add bpf_task_pt_regs() helper"), 5.15. It also
 * knows the padding that CONFIG_X86_FRED brought in 6.9. */
static __always_inline int read_user_registers(struct task_struct *task, struct ft_registers *out) {
	const void *at;
	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_task_pt_regs)) {
		at = (const void *)bpf_task_pt_regs(bpf_get_current_task_btf());
	} else {
		at = (const char *)BPF_CORE_READ(task, stack) + KERNEL_STACK_BYTES - sizeof(*out);
	}
	return bpf_probe_read_kernel(out, sizeof(*out), at);
}

#endif
