/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * One step of the user-space unwinder: from a frame to its caller, by the rules
 * that user space wrote into ft_tables. Reasons for the shapes used here:
 * - ft_step is a global function with a scalar argument: the verifier checks it
 *   once instead of in each of 1,024 iterations, on every kernel from 5.6 on.
 *   It must therefore look its scratch up by itself.
 * - bisection keeps its branch: mispredicted loads prefetch both halves, and a
 *   branch-free version was slower in every layout measured.
 */
#ifndef FLAMETAP_UNWIND_H
#define FLAMETAP_UNWIND_H

#include "maps.h"

/* ft_step returns 0 to go on, else 1 + enum ft_end. */
#define STOP(reason) (1 + FT_END_##reason)

/* Rows per page: 328 of 1 KiB were the most seen; 2^12 is the most that a page
 * of 4 KiB can hold. */
#define BISECT_STEPS 13
/* Mappings of one process: up to 2^17. */
#define MAPPING_STEPS 18

#define FAIL_READ (~0ULL)

/* Reads the 8 bytes at `address`; nonzero on failure. */
static __always_inline int read_stack(struct ft_scratch *s, u64 address, u64 *out) {
	u64 offset = address - s->chunk_base;
	if (offset + 8 > s->chunk_bytes || offset > STACK_CHUNK_BYTES - 8) {
		/* rbp is often saved just below the return address: begin a little lower. */
		u64 base = address - 64;
		if (base < s->sp)
			base = s->sp;
		if (base > address)
			base = address;
		base &= ~7ULL;
		s->chunk_base = base;
		s->chunk_bytes = 0;
		if (!bpf_probe_read_user(s->chunk, STACK_CHUNK_BYTES, (void *)base)) {
			s->chunk_bytes = STACK_CHUNK_BYTES;
			offset = address - base;
		} else {
			/* The end of the stack mapping is near, or a page is absent. */
			return bpf_probe_read_user(out, 8, (void *)address) ? -1 : 0;
		}
	}
	if (offset > STACK_CHUNK_BYTES - 8)
		return -1;
	if (offset & 7)
		return bpf_probe_read_user(out, 8, (void *)address) ? -1 : 0;
	/* The barrier keeps the bound that the verifier has just seen. */
	asm volatile("" : "+r"(offset));
	*out = *(u64 *)(s->chunk + (offset & (STACK_CHUNK_BYTES - 8)));
	return 0;
}

/* Finds the mapping of `address` in the process's slice; nonzero when there is none. */
static __always_inline int find_mapping(struct ft_scratch *s, u64 address) {
	u32 low = s->process.first;
	u32 left = s->process.count;
	if (left == 0)
		return -1;
	for (u32 i = 0; i < MAPPING_STEPS && left > 1; i++) {
		u32 half = left >> 1;
		u32 at = low + half;
		struct ft_mapping *middle = bpf_map_lookup_elem(&ft_mappings, &at);
		if (!middle)
			return -1;
		if (middle->start <= address) {
			low = at;
			left -= half;
		} else {
			left = half;
		}
	}
	struct ft_mapping *found = bpf_map_lookup_elem(&ft_mappings, &low);
	if (!found || address < found->start || address >= found->end)
		return -1;
	s->mapping = *found;
	u32 file = found->file;
	if (found->kind == FT_MAPPING_FILE) {
		struct ft_file *f = bpf_map_lookup_elem(&ft_files, &file);
		if (!f)
			return -1;
		s->file = *f;
	}
	return 0;
}

/* The rule for a text offset, or FAIL_READ when its region is not loaded. */
static __always_inline u64 find_rule(struct ft_scratch *s, u32 offset) {
	u32 at, page;
	if (s->exact) {
		u32 region = offset >> FT_FULL_REGION_SHIFT;
		if (region >= s->file.full_regions)
			return FAIL_READ;
		at = s->file.full_directory + region;
		page = (offset >> FT_FULL_PAGE_SHIFT) & (FT_PAGES_PER_REGION - 1);
	} else {
		u32 region = offset >> FT_CALL_REGION_SHIFT;
		if (region >= s->file.call_regions)
			return FAIL_READ;
		at = s->file.call_directory + region;
		page = (offset >> FT_CALL_PAGE_SHIFT) & (FT_PAGES_PER_REGION - 1);
	}
	u64 *block = bpf_map_lookup_elem(&ft_tables, &at);
	if (!block || !*block)
		return FAIL_READ;
	at = (u32)*block + page;
	u64 *entry = bpf_map_lookup_elem(&ft_tables, &at);
	if (!entry)
		return FAIL_READ;
	u32 low = (u32)*entry;
	u32 left = *entry >> 32;
	for (u32 i = 0; i < BISECT_STEPS && left > 1; i++) {
		u32 half = left >> 1;
		u32 middle = low + half;
		u64 *row = bpf_map_lookup_elem(&ft_tables, &middle);
		if (!row)
			return FAIL_READ;
		if ((u32)*row <= offset) {
			low = middle;
			left -= half;
		} else {
			left = half;
		}
	}
	u64 *row = bpf_map_lookup_elem(&ft_tables, &low);
	if (!row)
		return FAIL_READ;
	return *row >> 32;
}

/* Value of a DWARF register of the leaf frame. */
static __always_inline u64 leaf_register(struct ft_scratch *s, u32 dwarf) {
	switch (dwarf) {
	case 0: return s->regs.rax;
	case 1: return s->regs.rdx;
	case 2: return s->regs.rcx;
	case 3: return s->regs.rbx;
	case 4: return s->regs.rsi;
	case 5: return s->regs.rdi;
	case 8: return s->regs.r8;
	case 9: return s->regs.r9;
	case 10: return s->regs.r10;
	case 11: return s->regs.r11;
	case 12: return s->regs.r12;
	case 13: return s->regs.r13;
	case 14: return s->regs.r14;
	case 15: return s->regs.r15;
	default: return 0;
	}
}

/* struct rt_sigframe after the handler's ret has popped pretcode: rsp points at
 * the ucontext; its mcontext begins at 40 (flags 8, link 8, stack_t 24) with
 * r8..r15 rdi rsi rbp rbx rdx rax rcx rsp rip. */
#define SIGFRAME_RBP 120
#define SIGFRAME_RSP 160
#define SIGFRAME_RIP 168

/* Offsets in Go's g, unchanged from 1.17 to 1.27: stack 16, guards 16, panic 8,
 * defer 8, m, then sched {sp, pc, …}. */
#define GO_SCHED_SP 56
#define GO_SCHED_PC 64
#define GO_STACK_HI 8
/* Where asmcgocall keeps the goroutine and its depth, up to Go 1.20. */
#define GO_CALL_C_DEPTH 40
#define GO_CALL_C_G 48

/* systemstack, asmcgocall and morestack run on the thread's own stack g0; the
 * goroutine that asked continues where its gobuf says. As runtime/traceback.go does. */
static __always_inline int go_switch(struct ft_scratch *s, u32 morestack) {
	u64 g = 0, m = 0, curg = 0, sp = 0, pc = 0;
	if (!s->process.go_m)
		return STOP(GO_SWITCH);
	if (bpf_probe_read_user(&g, 8, (void *)(s->fs_base - s->process.go_g_offset)) || !g ||
	    bpf_probe_read_user(&m, 8, (void *)(g + s->process.go_m)) || !m ||
	    bpf_probe_read_user(&curg, 8, (void *)(m + s->process.go_curg)))
		return STOP(GO_SWITCH);
	/* A goroutine preempted in morestack was put back into the queue: the
	 * scheduler that runs here runs for nobody, as below mcall. */
	if (!curg && morestack)
		return STOP(ROOT);
	if (!curg || bpf_probe_read_user(&sp, 8, (void *)(curg + GO_SCHED_SP)) || !sp)
		return STOP(GO_SWITCH);
	/* Already on the goroutine's own stack: the switch has not happened (yet). */
	if (curg == g && !morestack)
		return STOP(GO_SWITCH);
	if (morestack) {
		/* morestack clears rbp before it calls on. */
		if (bpf_probe_read_user(&pc, 8, (void *)(curg + GO_SCHED_PC)) ||
		    bpf_probe_read_user(&s->bp, 8, (void *)(curg + s->process.go_sched_bp)))
			return STOP(GO_SWITCH);
	} else {
		if (bpf_probe_read_user(&pc, 8, (void *)sp))
			return STOP(GO_SWITCH);
		sp += 8;
	}
	if (!pc)
		return STOP(GO_SWITCH);
	s->pc = pc;
	s->sp = sp;
	s->exact = 0;
	s->leaf = 0;
	s->chunk_bytes = 0;
	return 0;
}

static __always_inline int push_frame(struct ft_scratch *s) {
	u32 n = s->count;
	u32 at = s->sample.kernel_count + n;
	if (n >= ft_max_depth || n >= FT_MAX_USER_FRAMES)
		return STOP(DEPTH);
	if (at >= FT_MAX_KERNEL_FRAMES + 1 + FT_MAX_USER_FRAMES)
		return STOP(DEPTH);
	s->addresses[at] = s->exact ? s->pc | FT_EXACT_PC : s->pc;
	s->count = n + 1;
	return 0;
}

/* One frame: records its pc and moves to its caller. Weak, or clang sees that the
 * argument is not used and passes an uninitialized register, which is refused. */
__weak __attribute__((noinline)) int ft_step(u32 unused) {
	u32 zero = 0;
	struct ft_scratch *s = bpf_map_lookup_elem(&ft_scratches, &zero);
	if (!s)
		return STOP(NO_PROCESS);

	u64 lookup = s->exact ? s->pc : s->pc - 1;
	if (lookup < s->mapping.start || lookup >= s->mapping.end) {
		if (find_mapping(s, lookup))
			return s->by_frame_pointer ? STOP(FRAME_POINTER) : STOP(NO_MAPPING);
	}
	int full = push_frame(s);
	if (full)
		return full;

	u32 rule = FT_RULE_NONE;
	u32 kind = s->mapping.kind;
	if (kind == FT_MAPPING_FILE) {
		u64 found = find_rule(s, (u32)(lookup - s->mapping.bias));
		if (found == FAIL_READ)
			return STOP(NO_TABLE);
		rule = (u32)found;
	} else if (kind == FT_MAPPING_UNREADABLE) {
		return STOP(UNREADABLE_FILE);
	}

	u64 cfa = 0, pc = 0, bp = s->bp, address = 0;
	u32 bp_rule = (rule >> 4) & 255;
	switch (rule & 15) {
	case FT_RULE_RSP: cfa = s->sp + (long long)((s32)rule >> 12) * 8; break;
	case FT_RULE_RBP:
	case FT_RULE_GO_FRAME_POINTER: cfa = s->bp + (long long)((s32)rule >> 12) * 8; break;
	case FT_RULE_NONE:
		/* JIT code and V8's builtins keep frame pointers. A zero rbp is how
		 * the ABI marks the outermost frame; in JIT code that no chain led
		 * to it is a register like any other. */
		if (!s->bp)
			return kind == FT_MAPPING_ANON && !s->by_frame_pointer ? STOP(FRAME_POINTER)
			                                                       : STOP(ROOT);
		if (s->bp < s->sp || (s->bp & 7))
			return kind == FT_MAPPING_ANON ? STOP(FRAME_POINTER) : STOP(NO_CFI);
		cfa = s->bp + 16;
		bp_rule = 2;
		break;
	case FT_RULE_END: return STOP(ROOT);
	case FT_RULE_SIGNAL: {
		u64 sp = 0;
		if (read_stack(s, s->sp + SIGFRAME_RBP, &bp) || read_stack(s, s->sp + SIGFRAME_RSP, &sp) ||
		    read_stack(s, s->sp + SIGFRAME_RIP, &pc))
			return STOP(STACK_READ);
		/* The handler "returns" to the trampoline's first byte: no call before it. */
		u32 at = s->sample.kernel_count + s->count - 1;
		if (at < FT_MAX_KERNEL_FRAMES + 1 + FT_MAX_USER_FRAMES)
			s->addresses[at] |= FT_EXACT_PC;
		/* The handler may have run on its own stack: no order to check. */
		s->pc = pc;
		s->sp = sp;
		s->bp = bp;
		s->exact = 1;
		s->leaf = 0;
		s->by_frame_pointer = 0;
		return pc ? 0 : STOP(ROOT);
	}
	case FT_RULE_PLT: cfa = s->sp + 8 + ((u64)((s->pc & 15) >= 11) << 3); break;
	case FT_RULE_RSP_DEREF:
		address = s->sp + (long long)((s32)(rule << 8) >> 20) * 8;
		if (read_stack(s, address, &cfa))
			return STOP(STACK_READ);
		cfa += (rule >> 24) * 8;
		break;
	case FT_RULE_RBP_DEREF:
		address = s->bp + (long long)((s32)(rule << 8) >> 20) * 8;
		if (read_stack(s, address, &cfa))
			return STOP(STACK_READ);
		cfa += (rule >> 24) * 8;
		break;
	case FT_RULE_REGISTER:
		if (!s->leaf)
			return STOP(COMPLEX);
		cfa = leaf_register(s, (rule >> 12) & 15) + (long long)((s32)rule >> 16) * 8;
		break;
	case FT_RULE_GO_CALL_C: {
		u64 g = 0, depth = 0, top = 0;
		if (read_stack(s, s->sp + GO_CALL_C_G, &g) || read_stack(s, s->sp + GO_CALL_C_DEPTH, &depth))
			return STOP(STACK_READ);
		if (!g || bpf_probe_read_user(&top, 8, (void *)(g + GO_STACK_HI)))
			return STOP(GO_SWITCH);
		cfa = top - depth + 8;
		break;
	}
	case FT_RULE_GO_SWITCH: return go_switch(s, 0);
	case FT_RULE_GO_MORESTACK: return go_switch(s, 1);
	default: return STOP(COMPLEX);
	}
	s->by_frame_pointer = (rule & 15) == FT_RULE_NONE;

	/* Each caller lies above its callee, or the stack is broken; but for vfork
	 * around its system call, which has popped its return address, and for Go's
	 * switch from a thread's own stack to that of a goroutine. */
	if (cfa < s->sp + !s->leaf && (rule & 15) != FT_RULE_GO_FRAME_POINTER &&
	    (rule & 15) != FT_RULE_GO_CALL_C)
		return STOP(BAD_FRAME);
	if (bp_rule == FT_RBP_AT_RBP) {
		if (read_stack(s, s->bp, &bp))
			return STOP(STACK_READ);
	} else if (bp_rule != FT_RBP_SAME) {
		if (read_stack(s, cfa - 8 * (u64)bp_rule, &bp))
			return STOP(STACK_READ);
	}
	if (read_stack(s, cfa - 8, &pc))
		return STOP(STACK_READ);
	s->pc = pc;
	s->sp = cfa;
	s->bp = bp;
	s->exact = 0;
	s->leaf = 0;
	return pc ? 0 : STOP(ROOT);
}

#endif
