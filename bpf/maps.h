/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Maps and load-time configuration. Sizes marked "load" are set before loading. */
#ifndef FLAMETAP_MAPS_H
#define FLAMETAP_MAPS_H

#include "kernel.h"

/* ---- configuration, read-only: the verifier removes what is switched off ---- */
const volatile u32 ft_max_depth = FT_MAX_USER_FRAMES;
const volatile u32 ft_kernel_stacks = 1;
/* Between two ticks of a CPU. */
const volatile u64 ft_period_ns = 10 * 1000 * 1000;
/* Bytes waiting in a ring from which on the reader is woken up. */
const volatile u32 ft_watermark = 64 * 1024;
/* A deferred sample wakes the reader unless it was woken within this time, so
 * that a new process is learnt early in its life. */
const volatile u64 ft_defer_wakeup_ns = 20 * 1000 * 1000;
/* Bytes waiting in a ring from which on deferred samples carry 16 KiB of stack
 * instead of 64, and then none. */
const volatile u32 ft_large_copies_below = 128 * 1024;
const volatile u32 ft_copies_below = 256 * 1024;
/* And from which on samples are lost: the rest is for exec, exit and fork, without
 * which later samples are misread. */
const volatile u32 ft_samples_below = 448 * 1024;
/* Truth mode: also send every sample unwound here as a deferred copy. */
const volatile u32 ft_copy_every_sample = 0;
/* Wanted keys with smaller numbers are those of ids. */
const volatile u32 ft_id_keys = 0;
const volatile u32 ft_scope_pids = 0;
const volatile u32 ft_scope_children = 0;
const volatile u32 ft_scope_comm = 0;
const volatile char ft_scope_comm_name[FT_COMM_LENGTH] = {};
/* A cgroup and all below it; its depth in the hierarchy, the root is 0. */
const volatile u64 ft_scope_cgroup = 0;
const volatile u32 ft_scope_cgroup_level = 0;
/* What is left out of the scope, each in any number. */
const volatile u32 ft_excludes_pids = 0;
const volatile u32 ft_excludes_comms = 0;
#define FT_EXCLUDED_CGROUPS 8
/* 0 = no more of them. */
const volatile u64 ft_excluded_cgroups[FT_EXCLUDED_CGROUPS] = {};
const volatile u32 ft_excluded_cgroup_levels[FT_EXCLUDED_CGROUPS] = {};

/* ---- rings: one per CPU, so that producers never wait for each other; made when
 * the CPU is first sampled, as most of those that a machine could have never are ---- */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(key_size, sizeof(u32));
	__uint(value_size, sizeof(u32));
	__uint(max_entries, 1); /* load: possible CPUs, and one more */
} ft_rings SEC(".maps");

/* Where the ring is that serves CPUs which have none yet. */
const volatile u32 ft_common_ring = 0;

static __always_inline void *ring_of(u32 cpu) {
	void *ring = bpf_map_lookup_elem(&ft_rings, &cpu);
	if (ring)
		return ring;
	u32 common = ft_common_ring;
	return bpf_map_lookup_elem(&ft_rings, &common);
}

/* ---- written by user space ---- */
struct {
	__uint(type, BPF_MAP_TYPE_HASH); /* preallocated: lookups from interrupts on 5.10 */
	__type(key, u32);
	__type(value, struct ft_process);
	__uint(max_entries, 4096); /* load */
} ft_processes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, u32);
	__type(value, struct ft_mapping);
	__uint(max_entries, 16384); /* load */
} ft_mappings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, u32);
	__type(value, struct ft_file);
	__uint(max_entries, 4096); /* load */
} ft_files SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, u32);
	__type(value, u64);
	__uint(max_entries, 262144); /* load */
} ft_tables SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, u32);
	__type(value, u8);
	__uint(max_entries, 4096); /* load: 1 when pids are not filtered */
} ft_scope SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, u32);
	__type(value, u8);
	__uint(max_entries, 1); /* load: more when pids are excluded */
} ft_excluded_pids SEC(".maps");

struct ft_comm {
	char name[FT_COMM_LENGTH]; /* zeros after its end */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct ft_comm);
	__type(value, u8);
	__uint(max_entries, 1); /* load: as many as are excluded */
} ft_excluded_comms SEC(".maps");

/* Keys of labels that are wanted, padded with zeros, to their numbers. */
struct ft_key {
	u64 words[FT_KEY_BYTES / 8];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct ft_key);
	__type(value, u32);
	__uint(max_entries, FT_WANTED_KEYS);
} ft_wanted SEC(".maps");

/* Bit n: a wanted key has n bytes. Most keys need not even be read. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, u32);
	__type(value, u64);
	__uint(max_entries, 1);
} ft_wanted_lengths SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, u32);
	__type(value, struct ft_node_layout);
	__uint(max_entries, FT_NODE_LAYOUTS);
} ft_node_layouts SEC(".maps");

/* Children whose fork was not told: neither is their end, unless they are sampled or exec. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, u32);
	__type(value, u8);
	__uint(max_entries, 4096); /* beyond it forks are told */
} ft_untold SEC(".maps");

/* ---- per-CPU scratch and counters ---- */
/* Of the last second in which there was a fork. */
struct ft_forks {
	u64 since_ns;
	u64 told;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, u32);
	__type(value, struct ft_forks);
	__uint(max_entries, 1);
} ft_fork_rates SEC(".maps");

struct ft_counters {
	u64 values[FT_COUNTER_COUNT];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, u32);
	__type(value, struct ft_counters);
	__uint(max_entries, 1);
} ft_counts SEC(".maps");

/* The bytes of stack read at once. Real frames are fat (about 400 B in large
 * C++ programs) and every read costs 25 ns however small. */
#define STACK_CHUNK_BYTES 2048

/* More than what is read of Go's structures; a power of two, so that an offset
 * is bounded by a mask. */
#define GO_STRUCT_WORDS 64

struct ft_scratch {
	/* the record, sent as it stands */
	struct ft_sample sample;
	/* and the labels behind the last one */
	u64 addresses[FT_MAX_KERNEL_FRAMES + 1 + FT_MAX_USER_FRAMES + FT_LABEL_BYTES / 8];
	/* the unwinder */
	u64 pc, sp, bp;
	u32 exact;            /* pc is not a return address */
	u32 leaf;             /* registers other than rsp and rbp are those of this frame */
	u32 by_frame_pointer; /* the last step had no rule but rbp */
	u32 count;            /* user frames so far */
	struct ft_process process;
	struct ft_mapping mapping; /* the last one used */
	struct ft_file file;
	struct ft_registers regs;
	u64 fs_base;
	u64 chunk_base;
	u64 chunk_bytes; /* 0 = nothing read */
	u8 chunk[STACK_CHUNK_BYTES];
	u64 go_g[GO_STRUCT_WORDS]; /* the beginning of a runtime.g */
	u64 go_m[GO_STRUCT_WORDS]; /* the beginning of the runtime.m */
	/* labels of a goroutine: what is read next, by labels or buckets */
	u64 go_next;
	u64 go_left;
	u64 go_old;
	u64 go_old_left;
	u64 go_overflow;
	u32 go_outcome; /* enum ft_context, so far */
	u32 label_bytes;
	u32 key_unreadable; /* the key that was last asked for */
	u64 wanted_lengths;
	u64 seen_keys; /* bit n: a label of key n was there already */
	struct ft_key key;
	/* The verifier bounds a place and a length apart: there is room for both. */
	u8 labels[FT_LABEL_BYTES + 1024];
	u64 last_wakeup;
	u64 awaited; /* the timer announced a tick in scope; 0 = the sampler took it up */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, u32);
	__type(value, struct ft_scratch);
	__uint(max_entries, 1);
} ft_scratches SEC(".maps");

static __always_inline void count(enum ft_counter which, u64 by) {
	u32 zero = 0;
	struct ft_counters *counters = bpf_map_lookup_elem(&ft_counts, &zero);
	if (counters)
		counters->values[which] += by;
}

#endif
