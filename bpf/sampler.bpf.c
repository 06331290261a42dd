// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
/* From a timer tick to a record in the ring of this CPU. */
#include "context.h"
#include "goroutine.h"
#include "kernel.h"
#include "maps.h"
#include "process.h"
#include "publication.h"
#include "timer.h"
#include "unwind.h"

static __always_inline u64 wakeup_flags(struct ft_scratch *s, u64 waiting, u64 now, int deferred) {
	if (waiting >= ft_watermark || (deferred && now - s->last_wakeup >= ft_defer_wakeup_ns)) {
		s->last_wakeup = now;
		return BPF_RB_FORCE_WAKEUP;
	}
	return BPF_RB_NO_WAKEUP;
}

/* Bytes of labels to send. clang tests `labels - 1`, and verifiers before 6.18 then
 * know nothing of `labels`: hence the mask, which changes nothing. */
static __always_inline u32 bounded_labels(struct ft_scratch *s) {
	u32 labels = s->label_bytes;
	if (!labels || labels > FT_LABEL_BYTES)
		return 0;
	labels--;
	asm volatile("" : "+r"(labels));
	return (labels & (FT_LABEL_BYTES - 1)) + 1;
}

static __always_inline void send_unwound(struct ft_scratch *s, void *ring) {
	u32 words = s->sample.kernel_count + s->count;
	if (words > FT_MAX_KERNEL_FRAMES + FT_MAX_USER_FRAMES)
		words = FT_MAX_KERNEL_FRAMES + FT_MAX_USER_FRAMES;
	u32 length = sizeof(struct ft_sample) + words * 8;
	u32 labels = bounded_labels(s);
	if (labels && !bpf_probe_read_kernel((u8 *)s->addresses + words * 8, labels, s->labels))
		length += labels;
	else
		s->sample.label_bytes = 0;
	s->sample.header.type = FT_RECORD_SAMPLE;
	s->sample.header.length = length;
	s->sample.user_count = s->count;
	s->sample.layout = s->process.layout;
	u64 waiting = bpf_ringbuf_query(ring, BPF_RB_AVAIL_DATA);
	u64 flags = wakeup_flags(s, waiting, s->sample.header.time_ns, 0);
	if (waiting >= ft_samples_below || bpf_ringbuf_output(ring, &s->sample, length, flags)) {
		count(FT_COUNTER_RING_FULL, 1);
		return;
	}
	count(FT_COUNTER_SENT, 1);
	count(FT_COUNTER_USER_FRAMES, s->count);
}

/* Stack bytes of a deferred sample: nearly always the small number is enough. */
#define COPY_SMALL 16384
#define COPY_LARGE FT_STACK_COPY_BYTES

/* The main thread's stack ends where exec put it. How deep other threads are is
 * not known; reading stops at the end of their stack by itself. */
static __always_inline int is_shallow(struct task_struct *task, u64 rsp) {
	u64 top = BPF_CORE_READ(task, mm, start_stack);
	return top > rsp && top - rsp <= COPY_SMALL - 4096 - 128;
}

/* Fills a reserved record with registers and stack bytes; returns its length. */
static __always_inline u32 fill_deferred(struct ft_scratch *s, struct ft_sample *sample, u32 pages) {
	u8 *body = (u8 *)(sample + 1);
	*sample = s->sample;
	sample->header.type = FT_RECORD_DEFERRED;
	sample->layout = 0;
	/* A walk that met a table not loaded yet goes on from there: the frames so
	 * far are right, and what is copied begins higher up the stack. */
	u32 done = s->sample.end == FT_END_NO_TABLE && s->count > 1 ? s->count - 1 : 0;
	u32 at = s->sample.kernel_count + done;
	if (at > FT_MAX_KERNEL_FRAMES + FT_MAX_USER_FRAMES)
		at = FT_MAX_KERNEL_FRAMES + FT_MAX_USER_FRAMES;
	at *= 8;
	sample->user_count = done;
	if (bpf_probe_read_kernel(body, at, s->addresses)) {
		sample->kernel_count = 0;
		sample->user_count = 0;
	}
	u32 labels = bounded_labels(s);
	if (labels && !bpf_probe_read_kernel(body + at, labels, s->labels))
		at += labels;
	else
		sample->label_bytes = 0;

	struct ft_stack *stack = (void *)(body + at);
	struct ft_registers *r = &s->regs;
	stack->registers[0] = r->rax;
	stack->registers[1] = r->rdx;
	stack->registers[2] = r->rcx;
	stack->registers[3] = r->rbx;
	stack->registers[4] = r->rsi;
	stack->registers[5] = r->rdi;
	stack->registers[6] = done ? s->bp : r->rbp;
	stack->registers[7] = done ? s->sp : r->rsp;
	stack->registers[8] = r->r8;
	stack->registers[9] = r->r9;
	stack->registers[10] = r->r10;
	stack->registers[11] = r->r11;
	stack->registers[12] = r->r12;
	stack->registers[13] = r->r13;
	stack->registers[14] = r->r14;
	stack->registers[15] = r->r15;
	stack->registers[16] = done ? s->pc : r->rip;
	if (!done || s->exact)
		sample->flags |= FT_SAMPLE_EXACT_START;
	stack->fs_base = s->fs_base;
	stack->reserved = 0;
	stack->go.g = 0;
	if (sample->go_state == FT_GO_UNKNOWN_PROCESS)
		copy_goroutine(&stack->go, s->fs_base);

	/* Leaf functions keep data up to 128 bytes below rsp (the red zone). */
	u64 base = ((done ? s->sp : r->rsp) - 128) & ~7ULL;
	u8 *bytes = (u8 *)(stack + 1);
	u32 copied = 0;
	u32 whole = 0;
	/* Whole pages fail or succeed together: up to the end of the first page,
	 * then the others. */
	u32 first = 4096 - (base & 4095);
	if (!bpf_probe_read_user(bytes, first, (void *)base)) {
		copied = first;
		for (u32 i = 0; i + 1 < pages; i++) {
			u32 offset = first + i * 4096;
			if (bpf_probe_read_user(bytes + offset, 4096, (void *)(base + offset)))
				break;
			copied = offset + 4096;
			whole++;
		}
	}
	if (whole + 1 < pages)
		sample->flags |= FT_SAMPLE_STACK_CUT;
	stack->base = base;
	stack->bytes = copied;
	sample->header.length = sizeof(struct ft_sample) + at + sizeof(struct ft_stack) + copied;
	return sample->header.length;
}

/* What a record of so many stack bytes takes at most. clang turns `+ 4096` into
 * `| 8192`, which the verifier bounds too high: hence the slack, never used. */
#define DEFERRED_BYTES(copy)                                                                           \
	(sizeof(struct ft_sample) + (FT_MAX_KERNEL_FRAMES + FT_MAX_USER_FRAMES) * 8 + FT_LABEL_BYTES + \
	    sizeof(struct ft_stack) + (copy) + 8192)

/* Sends registers and stack bytes instead of user frames. A reader that falls
 * behind gets smaller copies and then none: the sample itself matters more.
 * Nonzero when nothing was sent. */
static __always_inline int send_deferred(
    struct ft_scratch *s, struct task_struct *task, void *ring, int copy_only) {
	u64 waiting = bpf_ringbuf_query(ring, BPF_RB_AVAIL_DATA);
	u64 flags = wakeup_flags(s, waiting, s->sample.header.time_ns, !copy_only);
	if (waiting < ft_large_copies_below && !is_shallow(task, s->regs.rsp)) {
		struct ft_sample *large = bpf_ringbuf_reserve(ring, DEFERRED_BYTES(COPY_LARGE), 0);
		if (large) {
			fill_deferred(s, large, COPY_LARGE / 4096);
			bpf_ringbuf_submit(large, flags);
			return 0;
		}
	}
	if (waiting < ft_copies_below) {
		struct ft_sample *small = bpf_ringbuf_reserve(ring, DEFERRED_BYTES(COPY_SMALL), 0);
		if (small) {
			fill_deferred(s, small, COPY_SMALL / 4096);
			bpf_ringbuf_submit(small, flags);
			return 0;
		}
	}
	return -1;
}

static __always_inline int is_of(const volatile struct ft_identity *a, const struct ft_identity *b) {
	return a->exec_id == b->exec_id && a->start_ns == b->start_ns;
}

/* Unwinds the user part; returns enum ft_end. */
static __always_inline u32 unwind_user(struct ft_scratch *s) {
	u32 pid = s->sample.header.process.pid;
	struct ft_process *known = bpf_map_lookup_elem(&ft_processes, &pid);
	if (!known)
		return FT_END_NO_PROCESS;
	s->process = *known;
	/* Looked at on both sides of the copy: another process's entry may have taken
	 * the place of this one meanwhile. */
	if (!is_of(&s->process.identity, &s->sample.header.process) ||
	    !is_of(&known->identity, &s->sample.header.process)) {
		s->process.layout = 0;
		return FT_END_NO_PROCESS;
	}
	/* Room is made at the cost of those whose last sample is oldest. */
	known->used_ns = s->sample.header.time_ns;
	s->pc = s->regs.rip;
	s->sp = s->regs.rsp;
	s->bp = s->regs.rbp;
	s->exact = 1;
	s->leaf = 1;
	s->by_frame_pointer = 0;
	s->mapping.start = 0;
	s->mapping.end = 0;
	s->chunk_bytes = 0;
	s->chunk_base = 0;
	int stop = 0;
	for (u32 i = 0; i <= FT_MAX_USER_FRAMES; i++) {
		stop = ft_step(i);
		if (stop)
			break;
	}
	return stop ? stop - 1 : FT_END_DEPTH;
}

SEC("perf_event")
int ft_sample(struct ft_perf_context *ctx) {
	u64 pid_tgid = bpf_get_current_pid_tgid();
	u32 tid = (u32)pid_tgid;
	count(FT_COUNTER_TICKS, 1);
	if (tid == 0) {
		count(FT_COUNTER_IDLE, 1);
		return 0;
	}
	u32 zero = 0;
	struct ft_scratch *s = bpf_map_lookup_elem(&ft_scratches, &zero);
	if (!s) {
		count(FT_COUNTER_NO_SCRATCH, 1);
		return 0;
	}
	s->awaited = 0;
	struct task_struct *task = (void *)bpf_get_current_task();
	struct task_struct *leader = BPF_CORE_READ(task, group_leader);
	BPF_CORE_READ_STR_INTO(&s->sample.comm, leader, comm);
	if (!in_scope(pid_tgid >> 32, s->sample.comm)) {
		count(FT_COUNTER_OUT_OF_SCOPE, 1);
		return 0;
	}
	u32 cpu = bpf_get_smp_processor_id();
	void *ring = ring_of(cpu);
	if (!ring) {
		count(FT_COUNTER_NO_RING, 1);
		return 0;
	}
	s->sample.header.cpu = cpu;
	s->sample.header.time_ns = bpf_ktime_get_ns();
	s->sample.header.process.pid = pid_tgid >> 32;
	s->sample.header.process.start_ns = BPF_CORE_READ(leader, start_boottime);
	s->sample.header.process.exec_id = (u32)BPF_CORE_READ(leader, self_exec_id);
	s->sample.tid = tid;
	s->sample.flags = 0;
	s->sample.kernel_count = 0;
	s->sample.cgroup_id = bpf_get_current_cgroup_id();
	bpf_get_current_comm(&s->sample.thread, sizeof(s->sample.thread));
	s->sample.goid = 0;
	s->sample.go_creator = 0;
	s->sample.go_start = 0;
	s->sample.go_state = FT_GO_NONE;
	s->sample.context = FT_CONTEXT_NONE;
	s->sample.reserved = 0;
	s->label_bytes = 0;
	s->count = 0;
	s->process.layout = 0;

	int user_mode = (ctx->regs.cs & CS_RING_MASK) == CS_RING_MASK;
	if (!user_mode) {
		s->sample.flags |= FT_SAMPLE_KERNEL_MODE;
		if (ft_kernel_stacks) {
			long bytes = bpf_get_stack(ctx, s->addresses, FT_MAX_KERNEL_FRAMES * 8, 0);
			if (bytes < 0)
				count(FT_COUNTER_KERNEL_STACK_FAILED, 1);
			else
				s->sample.kernel_count = bytes / 8;
		}
	}

	u32 end;
	if ((BPF_CORE_READ(task, flags) & TASK_KERNEL_THREAD) || !BPF_CORE_READ(task, mm)) {
		end = FT_END_NO_USER;
	} else if (!user_mode && !BPF_CORE_READ(task, mm, end_code)) {
		/* In the midst of exec: the old image is gone, the registers are still
		 * its own. The new one's code is noted when it can start. */
		end = FT_END_NO_USER;
	} else {
		if (user_mode) {
			/* Copied field by field: contexts allow no block reads. */
			s->regs.r15 = ctx->regs.r15;
			s->regs.r14 = ctx->regs.r14;
			s->regs.r13 = ctx->regs.r13;
			s->regs.r12 = ctx->regs.r12;
			s->regs.rbp = ctx->regs.rbp;
			s->regs.rbx = ctx->regs.rbx;
			s->regs.r11 = ctx->regs.r11;
			s->regs.r10 = ctx->regs.r10;
			s->regs.r9 = ctx->regs.r9;
			s->regs.r8 = ctx->regs.r8;
			s->regs.rax = ctx->regs.rax;
			s->regs.rcx = ctx->regs.rcx;
			s->regs.rdx = ctx->regs.rdx;
			s->regs.rsi = ctx->regs.rsi;
			s->regs.rdi = ctx->regs.rdi;
			s->regs.rip = ctx->regs.rip;
			s->regs.cs = ctx->regs.cs;
			s->regs.rsp = ctx->regs.rsp;
		} else if (read_user_registers(task, &s->regs)) {
			s->regs.cs = 0;
		}
		s->fs_base = BPF_CORE_READ(task, thread.fsbase);
		if ((s->regs.cs & CS_RING_MASK) != CS_RING_MASK)
			end = FT_END_NO_REGISTERS;
		else if ((s->regs.cs & 0xffff) != CS_USER_64)
			end = FT_END_COMPAT;
		else
			end = unwind_user(s);
		if (end == FT_END_NO_PROCESS) {
			/* From now on it is known to user space. */
			u32 pid = pid_tgid >> 32;
			bpf_map_delete_elem(&ft_untold, &pid);
			s->sample.go_state = FT_GO_UNKNOWN_PROCESS;
			s->sample.context = FT_CONTEXT_UNKNOWN_PROCESS;
		} else if (end != FT_END_NO_REGISTERS && end != FT_END_COMPAT) {
			if (s->process.go_m)
				s->sample.go_state = read_goroutine(s);
			else if (s->process.flags & FT_PROCESS_GO_UNKNOWN)
				s->sample.go_state = FT_GO_NO_LAYOUT;
			s->sample.context = read_context(s);
		}
	}
	int is_deferred = end == FT_END_NO_PROCESS || end == FT_END_NO_TABLE || end == FT_END_COMPLEX ||
	                  end == FT_END_NO_MAPPING;
	if (is_deferred && end != FT_END_NO_PROCESS && s->sample.header.time_ns < s->process.copies_from_ns) {
		is_deferred = 0;
		end = FT_END_NOT_FOLLOWED;
	}
	s->sample.label_bytes = s->label_bytes;
	s->sample.end = end;
	if (is_deferred) {
		if (!send_deferred(s, task, ring, 0)) {
			count(FT_COUNTER_DEFERRED, 1);
			return 0;
		}
		count(FT_COUNTER_COPY_REFUSED, 1);
	}
	send_unwound(s, ring);
	if (ft_copy_every_sample && end != FT_END_NO_USER && end != FT_END_NO_REGISTERS &&
	    end != FT_END_COMPAT)
		send_deferred(s, task, ring, 1);
	return 0;
}

/* GPL-compatible helpers are used; the kernel knows this spelling of a dual licence. */
char LICENSE[] SEC("license") = "GPL";
