/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * The one owner of every byte that crosses between the kernel and user space:
 * ring records, map values, reason codes and limits. src/capture/record.ts
 * mirrors it; test/layout.test.ts compiles this header and proves them equal.
 *
 * Only fixed-width integers, no padding: every struct is a multiple of 8 bytes.
 */
#ifndef FLAMETAP_RECORD_H
#define FLAMETAP_RECORD_H

#ifndef __bpf__
#include <stdint.h>
typedef uint8_t ft_u8;
typedef uint16_t ft_u16;
typedef uint32_t ft_u32;
typedef uint64_t ft_u64;
typedef int32_t ft_s32;
#else
typedef unsigned char ft_u8;
typedef unsigned short ft_u16;
typedef unsigned int ft_u32;
typedef unsigned long long ft_u64;
typedef int ft_s32;
#endif

#define FT_COMM_LENGTH 16
/* The kernel's own limit for bpf_get_stack (perf_event_max_stack). */
#define FT_MAX_KERNEL_FRAMES 127
#define FT_MAX_USER_FRAMES 1024
/* How much of the stack a deferred sample carries at most. */
#define FT_STACK_COPY_BYTES 65536
#define FT_REGISTER_COUNT 17

/* Text regions: the unit in which unwind tables are loaded. The full table has
 * a row for every change of the rule and serves leaf frames; the call-site
 * table keeps only rows that can hold a return address. */
#define FT_FULL_REGION_SHIFT 16 /* 64 KiB of text */
#define FT_FULL_PAGE_SHIFT 10   /* index entry per 1 KiB */
#define FT_CALL_REGION_SHIFT 18 /* 256 KiB of text */
#define FT_CALL_PAGE_SHIFT 12   /* index entry per 4 KiB */
#define FT_PAGES_PER_REGION 64  /* both shapes: 64 index entries */

/* A user address that is an exact pc (leaf, or interrupted by a signal)
 * carries this bit; all others are return addresses, to be looked up at - 1. */
#define FT_EXACT_PC 0x8000000000000000ULL

enum ft_record_type {
	FT_RECORD_SAMPLE = 1,   /* unwound in the kernel */
	FT_RECORD_DEFERRED = 2, /* registers and stack bytes; unwound in user space */
	FT_RECORD_EXEC = 3,
	FT_RECORD_EXIT = 4,
	FT_RECORD_FORK = 5,
	FT_RECORD_CONTEXT = 6, /* a process context is being published or updated */
};

/* How the user part of a stack ended. FT_END_ROOT and FT_END_NO_USER are whole;
 * every other value is shown as a marker frame at the root of the stack. */
#define FT_END_REASONS(X)                                                            \
	X(ROOT, root)                       /* the outermost frame was reached */    \
	X(NO_USER, no_user)                 /* kernel thread: no user stack */       \
	X(DEPTH, depth_limit)               /* more than the configured depth */     \
	X(NO_MAPPING, no_mapping)           /* pc outside every known mapping */     \
	X(NO_TABLE, no_table)               /* table region not loaded yet */        \
	X(NO_CFI, no_unwind_info)           /* pc covered by no unwind rule */       \
	X(STACK_READ, stack_unreadable)     /* stack memory could not be read */     \
	X(COMPLEX, complex_rule)            /* rule for the user-space unwinder */   \
	X(BAD_FRAME, bad_frame)             /* CFA not above the last one */         \
	X(NO_PROCESS, unknown_process)      /* process not known to the kernel */    \
	X(NO_REGISTERS, no_registers)       /* user registers out of reach */        \
	X(COMPAT, compat_mode)              /* 32-bit code */                        \
	X(SHORT_COPY, stack_copy_short)     /* deferred copy ended before root */    \
	X(FRAME_POINTER, frame_pointer_end) /* frame-pointer chain ended */          \
	X(UNREADABLE_FILE, unreadable_file) /* binary could not be read or parsed */ \
	X(GO_SWITCH, go_stack_switch)       /* Go stack switch not followable */     \
	X(GONE, process_gone)               /* process left before being read */     \
	X(NOT_FOLLOWED, not_followed)       /* its process costs too much for now */

enum ft_end {
#define X(name, text) FT_END_##name,
	FT_END_REASONS(X)
#undef X
	    FT_END_COUNT
};

/* What became of every tick that the sampler's programs saw. */
#define FT_COUNTERS(X)                                                                      \
	X(TICKS, ticks)                       /* sampler entered */                         \
	X(IDLE, idle)                         /* idle task skipped */                       \
	X(OUT_OF_SCOPE, out_of_scope)         /* filtered before unwinding */               \
	X(SENT, sent)                         /* unwound sample put into a ring */          \
	X(DEFERRED, deferred)                 /* deferred sample put into a ring */         \
	X(RING_FULL, ring_full)               /* sample lost: ring full */                  \
	X(NO_RING, no_ring)                   /* sample lost: no ring for this CPU */       \
	X(NO_SCRATCH, no_scratch)             /* sample lost: scratch map missing */        \
	X(SWALLOWED, swallowed)               /* sample lost: BPF was at work on the CPU */ \
	X(EVENT_RING_FULL, event_ring_full)   /* exec/exit/fork record lost */              \
	X(PROCESS_MAP_FULL, process_map_full) /* process map update failed */               \
	X(KERNEL_STACK_FAILED, kernel_stack_failed)                                         \
	X(COPY_REFUSED, copy_refused) /* sent without stack copy: reader behind */          \
	X(USER_FRAMES, user_frames)   /* sum, for cost per frame */                         \
	X(LATE, late)                 /* ticks that never came: the timer was late */       \
	X(FORKS_UNTOLD, forks_untold) /* too many a second: looked up when sampled */

enum ft_counter {
#define X(name, text) FT_COUNTER_##name,
	FT_COUNTERS(X)
#undef X
	    FT_COUNTER_COUNT
};

/* Whose work a thread of a Go process does. With GOROUTINE, and with SIGNAL where
 * it is known, the sample says which goroutine; all others say none, and from
 * UNKNOWN_PROCESS on because it could not be known for sure. */
#define FT_GO_STATES(X)                                                                     \
	X(NONE, none)                       /* not a Go program, as far as is known */      \
	X(GOROUTINE, goroutine)             /* on its own stack or, for it, the thread's */ \
	X(SCHEDULER, scheduler)             /* the runtime's own work, for no goroutine */  \
	X(SIGNAL, signal)                   /* a signal handler of the runtime */           \
	X(FOREIGN, foreign)                 /* C code that no goroutine has called */       \
	X(UNKNOWN_PROCESS, unknown_process) /* not known to the kernel yet */               \
	X(NO_LAYOUT, go_layout_unknown)     /* Go, but where it keeps g is not known */     \
	X(UNREADABLE, goroutine_unreadable) /* g, m or curg could not be read */            \
	X(CHANGING, goroutine_changing)     /* between two goroutines: g, m and curg disagree */

enum ft_go_state {
#define X(name, text) FT_GO_##name,
	FT_GO_STATES(X)
#undef X
	    FT_GO_STATE_COUNT
};

/* What came of reading the labels of a sample: those that the thread, or its
 * goroutine, carries for the request that it serves. The greatest of several
 * carriers counts; from UNREADABLE on labels are missing for that reason. */
#define FT_CONTEXTS(X)                                                                 \
	X(NONE, none)                       /* no carrier, or nothing in it */         \
	X(READ, read)                       /* all labels that are wanted */           \
	X(TOO_LONG, context_too_long)       /* more, or longer, than a sample holds */ \
	X(UNREADABLE, context_unreadable)   /* memory could not be read */             \
	X(CHANGING, context_changing)       /* it was being written */                 \
	X(MALFORMED, context_malformed)     /* lengths or links that cannot be */      \
	X(UNKNOWN_PROCESS, unknown_process) /* not known to the kernel yet */          \
	X(MISSED, context_missed)           /* but later samples of it have labels */

enum ft_context {
#define X(name, text) FT_CONTEXT_##name,
	FT_CONTEXTS(X)
#undef X
	    FT_CONTEXT_COUNT
};

/* Labels of a sample: entries one after the other, each padded with zeros to a
 * multiple of 8 bytes. */
struct ft_label {
	ft_u16 key;   /* index in the list of wanted keys, or FT_LABEL_* */
	ft_u16 bytes; /* of the value, which follows */
};
#define FT_LABEL_BYTES 1024      /* all entries of a sample */
#define FT_LABEL_VALUE_BYTES 704 /* the longest value: it is kept whole or not at all */
#define FT_KEY_BYTES 32          /* the longest key that can be wanted */
#define FT_WANTED_KEYS 64
/* The value is an OTEP 4947 record as it lies in memory. */
#define FT_LABEL_THREAD_CONTEXT 0xff01u

#define FT_SAMPLE_KERNEL_MODE 1u /* the tick hit kernel code */
#define FT_SAMPLE_STACK_CUT 2u   /* deferred copy is shorter than wanted */
#define FT_SAMPLE_EXACT_START 4u /* deferred: registers are those of an exact pc */

/* A process instance is (pid, start_ns, exec_id). start_ns is the leader's
 * start_boottime; exec_id the leader's self_exec_id, which grows with exec. */
struct ft_identity {
	ft_u32 pid; /* host pid of the thread group */
	ft_u32 exec_id;
	ft_u64 start_ns;
};

struct ft_header {
	ft_u32 length; /* of the record, a multiple of 8; the ring may hold more after it */
	ft_u16 type;   /* enum ft_record_type */
	ft_u16 cpu;
	ft_u64 time_ns; /* CLOCK_MONOTONIC */
	struct ft_identity process;
};

/* SAMPLE: followed by kernel_count kernel addresses, then user_count user
 * addresses, both leaf first, u64 each, then label_bytes of struct ft_label.
 * DEFERRED: followed by kernel_count kernel addresses and user_count user
 * addresses that were unwound before the walk stopped, the labels, then struct
 * ft_stack, whose registers are those of the frame it stopped at. With user_count 0 they
 * are the sample's own, otherwise only rbp, rsp and rip are known. */
struct ft_sample {
	struct ft_header header;
	ft_u32 tid;
	ft_u32 layout; /* generation of the mapping list used; 0 when deferred */
	ft_u16 kernel_count;
	ft_u16 user_count;
	ft_u16 end;   /* enum ft_end; for DEFERRED why it was deferred */
	ft_u16 flags; /* FT_SAMPLE_* */
	char thread[FT_COMM_LENGTH];
	char comm[FT_COMM_LENGTH]; /* of the thread group's leader */
	ft_u64 cgroup_id;
	ft_u64 goid;       /* of the goroutine, 0 = none */
	ft_u64 go_creator; /* return address of the `go` statement that made it, 0 = none */
	ft_u64 go_start;   /* address of its first function, 0 = none */
	ft_u32 go_state;   /* enum ft_go_state */
	ft_u16 label_bytes;
	ft_u8 context; /* enum ft_context */
	ft_u8 reserved;
};

/* What may be the goroutine of a thread whose process the kernel side does not know
 * yet, to be judged once it is known to be Go and of which release: g as most
 * programs keep it, at fs_base - 8, the beginnings of it and of its m, and of the
 * two goroutines that m.curg can be. With g 0 the rest means nothing; so does what
 * stands for a curg that is g itself. */
#define FT_GO_G_WORDS 40
#define FT_GO_M_WORDS 36
#define FT_GO_CURG_OFFSET 184 /* of the first; the second is a word behind it */
struct ft_go_copy {
	ft_u64 g;
	ft_u64 g_words[FT_GO_G_WORDS];
	ft_u64 m_words[FT_GO_M_WORDS];
	ft_u64 curg_words[2][FT_GO_G_WORDS];
};

/* Registers in DWARF order: rax rdx rcx rbx rsi rdi rbp rsp r8..r15 rip. */
struct ft_stack {
	ft_u64 registers[FT_REGISTER_COUNT];
	ft_u64 fs_base; /* thread pointer */
	ft_u64 base;    /* address of the first byte copied (rsp rounded down by the red zone) */
	ft_u32 bytes;   /* multiple of 8, follows */
	ft_u32 reserved;
	struct ft_go_copy go;
};

/* EXEC, EXIT, FORK and CONTEXT. header.process is the process after exec, the one
 * that ends, the new child, or the publisher; a CONTEXT has nothing but the header. */
struct ft_process_event {
	struct ft_header header;
	ft_u32 parent_pid;
	ft_u32 parent_exec_id;
	ft_u64 parent_start_ns;
	char comm[FT_COMM_LENGTH];
};

/* ---- maps written by user space ---- */

#define FT_PROCESS_GO_UNKNOWN 1u /* a Go program whose layout is not known */

enum ft_tls_kind {
	FT_TLS_NONE = 0,
	FT_TLS_STATIC = 1,  /* at fs_base + offset */
	FT_TLS_DYNAMIC = 2, /* at offset in the module's block, found in the thread's vector */
};

/* Where each thread of a process has a thread-local variable. */
struct ft_tls {
	ft_u64 offset;     /* two's complement */
	ft_u32 generation; /* a vector that is older has another's block there; 0 = not known */
	ft_u16 module;
	ft_u8 dtv_step; /* bytes of an entry of the vector at *(fs_base + 8): glibc 16, musl 8 */
	ft_u8 kind;     /* enum ft_tls_kind */
};

enum ft_go_labels_form {
	FT_GO_LABELS_MAP = 1,   /* before Go 1.24: pointer to a map */
	FT_GO_LABELS_SLICE = 2, /* since: pointer to a sorted slice */
};

enum ft_node_form {
	FT_NODE_THREAD_CONTEXT = 1, /* otel_thread_ctx_nodejs_v1 */
	FT_NODE_CUSTOM_LABELS = 2,  /* custom_labels_als_handle */
};

/* Element of `node_layouts`: a library that offers context, in a build of Node.js. */
struct ft_node_layout {
	/* V8's current isolate, from fs_base: two's complement; custom-labels only, as hash. */
	ft_u64 isolate;
	ft_u32 continuation; /* in the isolate: the data of the current continuation */
	ft_s32 hash;         /* custom_labels_als_identity_hash - custom_labels_als_handle */
	ft_u16 map_type;     /* V8's instance type of a JavaScript Map */
	ft_u16 form;         /* enum ft_node_form */
	ft_u32 reserved;
};
#define FT_NODE_LAYOUTS 256

/* Value of `processes`, keyed by host pid (u32). */
struct ft_process {
	struct ft_identity identity;
	ft_u32 first; /* slice of `mappings`, sorted by start */
	ft_u32 count;
	ft_u32 layout;
	ft_u32 flags;       /* FT_PROCESS_* */
	ft_u16 go_g_offset; /* minus the offset of g from fs_base, 0 = not Go */
	ft_u16 go_m;        /* offsetof(g, m) */
	ft_u16 go_curg;     /* offsetof(m, curg) */
	ft_u16 go_sched_bp; /* offsetof(g, sched.bp) */
	ft_u16 go_goid;     /* offsetof(g, goid); atomicstatus lies 8 before it */
	ft_u16 go_gopc;     /* offsetof(g, gopc); startpc lies 16 behind it */
	ft_u16 go_gsignal;  /* offsetof(m, gsignal) */
	ft_u16 go_in_c;     /* offsetof(m, isExtraInC), 0 = before Go 1.21 */
	/* Carriers of labels; all zero in a process without. */
	ft_u16 go_labels;             /* offsetof(g, labels), 0 = not known */
	ft_u16 go_labels_form;        /* enum ft_go_labels_form */
	ft_u32 node;                  /* index in `node_layouts` plus one, 0 = none */
	struct ft_tls thread_context; /* otel_thread_ctx_v1 */
	struct ft_tls custom_labels;  /* custom_labels_current_set */
	struct ft_tls node_context;   /* what `node` says */
	/* CLOCK_MONOTONIC; until then what has to be unwound in user space is sent as it
	 * is, without a copy of the stack. */
	ft_u64 copies_from_ns;
	/* Written by the kernel side: its last sample. A forked child has none yet. */
	ft_u64 used_ns;
};

enum ft_mapping_kind {
	FT_MAPPING_FILE = 0,       /* has tables */
	FT_MAPPING_ANON = 1,       /* JIT code: frame pointers */
	FT_MAPPING_UNREADABLE = 2, /* file without usable tables: frame pointers are not trusted */
};

/* Element of `mappings`. */
struct ft_mapping {
	ft_u64 start;
	ft_u64 end;
	ft_u64 bias; /* file-relative text offset = address - bias (see ft_file) */
	ft_u32 file; /* index into `files` */
	ft_u32 kind; /* enum ft_mapping_kind */
};

/* Element of `files`. Text offsets are relative to the lowest executable
 * virtual address of the file and fit 32 bits. Directories live in `tables`:
 * one u64 per region, 0 = not loaded, else index of the region's block. A block
 * is FT_PAGES_PER_REGION index entries, then rows. Index entry: low 32 bits =
 * index (in `tables`) of the row in force at the start of the page, high 32
 * bits = how many rows to search from there (at least 1). */
struct ft_file {
	ft_u32 call_directory;
	ft_u32 call_regions;
	ft_u32 full_directory;
	ft_u32 full_regions;
};

/* Row, one u64 of `tables`: low 32 bits text offset, high 32 bits rule.
 * Rule: bits 0-3 kind, 4-11 rbp rule, 12-31 operand.
 * The return address is at CFA - 8 for every kind but END, SIGNAL, COMPLEX. */
enum ft_rule {
	FT_RULE_NONE = 0,              /* no unwind information here */
	FT_RULE_RSP = 1,               /* CFA = rsp + 8 * s20 */
	FT_RULE_RBP = 2,               /* CFA = rbp + 8 * s20 */
	FT_RULE_END = 3,               /* outermost frame */
	FT_RULE_SIGNAL = 4,            /* registers from the rt_sigframe at rsp */
	FT_RULE_PLT = 5,               /* CFA = rsp + 8 + (((rip & 15) >= 11) << 3) */
	FT_RULE_RSP_DEREF = 6,         /* CFA = *(rsp + 8 * s12) + 8 * u8 (bits 24-31) */
	FT_RULE_RBP_DEREF = 7,         /* CFA = *(rbp + 8 * s12) + 8 * u8 (bits 24-31) */
	FT_RULE_REGISTER = 8,          /* CFA = DWARF register u4 (bits 12-15) + 8 * s16; leaf only */
	FT_RULE_COMPLEX = 9,           /* leave to user space */
	FT_RULE_GO_SWITCH = 10,        /* systemstack: continue at curg.sched.sp */
	FT_RULE_GO_MORESTACK = 11,     /* continue at curg.sched.pc and .sp */
	FT_RULE_GO_FRAME_POINTER = 12, /* as RBP, but the caller may be on another stack */
	FT_RULE_GO_CALL_C = 13,        /* asmcgocall before Go 1.21: CFA = g.stack.hi - *(rsp + 40) + 8
	                                  with g = *(rsp + 48) */
};

/* rbp rule: 0 = unchanged, n = saved at CFA - 8 * n, 255 = saved at *(rbp). */
#define FT_RBP_SAME 0u
#define FT_RBP_AT_RBP 255u

#endif
