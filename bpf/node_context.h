/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * The context of a Node.js thread. Node keeps the stores of all AsyncLocalStorages
 * that are current in one JavaScript Map, which V8 carries from continuation to
 * continuation: the way goes from the isolate to that Map, in its hash table to the
 * storage that a library has told of, and from the value there, an object of C++,
 * to the record behind it.
 *
 * The thread stands still. If it stands in a garbage collection, others of the
 * process move its objects meanwhile. An object is copied whole before anything
 * points to the copy; what it was keeps its contents but the first word, which from
 * then on is the copy's address, until every pointer to it is replaced. So either
 * of the two may be read, and two pointers may mean the same object.
 */
#ifndef FLAMETAP_NODE_CONTEXT_H
#define FLAMETAP_NODE_CONTEXT_H

#include "custom_labels.h"
#include "labels.h"
#include "thread_context.h"

/* V8 without compressed pointers; user space has compared the constants that V8
 * states. The lowest bits of a word: x0 a small integer in the upper half, 01 a
 * pointer, 11 a weak one. */
#define V8_POINTER 1
#define V8_POINTER_MASK 3
#define V8_ODDBALL_TYPE 0x83u    /* undefined and its like */
#define V8_FIRST_API_TYPE 0x422u /* objects that C++ makes */
#define V8_LAST_API_TYPE 0x80au
/* Chains have two entries in the mean: the table is doubled when it holds twice
 * as many as it has buckets. */
#define NODE_CHAIN 16
#define NODE_MAX_BUCKETS (1u << 20)
/* An object of C++: three words of header, or four since V8 12.8, then its fields. */
#define NODE_FIRST_FIELD 24
#define NODE_LAST_FIELD 64

static __always_inline u64 v8_is_pointer(u64 word) {
	return (word & V8_POINTER_MASK) == V8_POINTER;
}

static __always_inline u64 v8_is_integer(u64 word) {
	return !(u32)word;
}

/* Where the object has gone, or it itself. */
static __always_inline u64 v8_moved(u64 object) {
	u64 first = 0;
	if (!v8_is_pointer(object) || bpf_probe_read_user(&first, 8, (void *)(object - V8_POINTER)))
		return 0;
	return first & V8_POINTER ? object : first | V8_POINTER;
}

/* What the map (the hidden class) of an object says in its second word: in byte 1
 * where the fields end, in bytes 4 and 5 the type. 0 = unreadable. */
static __always_inline u64 v8_class(u64 object) {
	u64 map = 0;
	u64 facts = 0;
	if (bpf_probe_read_user(&map, 8, (void *)(object - V8_POINTER)))
		return 0;
	if (!(map & V8_POINTER) && bpf_probe_read_user(&map, 8, (void *)map))
		return 0;
	if (!v8_is_pointer(map) || bpf_probe_read_user(&facts, 8, (void *)(map - V8_POINTER + 8)))
		return 0;
	return facts;
}

#define V8_TYPE(facts) ((u32)((facts) >> 32) & 0xffff)
#define V8_FIELDS_END(facts) ((u32)((facts) >> 8) & 0xff)

/* OrderedHashMap: map, length, elements, deleted ones, buckets; then the first entry
 * of each bucket; then entries {key, value, next}. */
struct v8_table {
	u64 map, length, elements, deleted, buckets;
};
struct v8_entry {
	u64 key, value, next;
};

/* The value of `key` in a Map's table; returns enum ft_context, READ with 0 = none. */
static __always_inline u32 v8_find(u64 table, u64 key, u32 hash, u64 *value) {
	struct v8_table head = {};
	*value = 0;
	if (!v8_is_pointer(table) || !v8_is_pointer(key))
		return FT_CONTEXT_MALFORMED;
	u64 base = table - V8_POINTER;
	u64 moved = v8_moved(key);
	if (!moved || bpf_probe_read_user(&head, sizeof(head), (void *)base))
		return FT_CONTEXT_UNREADABLE;
	if (!v8_is_integer(head.length | head.elements | head.deleted | head.buckets))
		return FT_CONTEXT_MALFORMED;
	u32 buckets = head.buckets >> 32;
	u64 used = (head.elements >> 32) + (head.deleted >> 32);
	if (!buckets || buckets > NODE_MAX_BUCKETS || buckets & (buckets - 1) ||
	    head.length >> 32 != 3 + 7 * (u64)buckets || used > 2 * (u64)buckets)
		return FT_CONTEXT_MALFORMED;
	base += sizeof(head);
	u64 next = 0;
	if (bpf_probe_read_user(&next, 8, (void *)(base + 8 * (u64)(hash & (buckets - 1)))))
		return FT_CONTEXT_UNREADABLE;
	base += 8 * (u64)buckets;
	for (u32 i = 0; i < NODE_CHAIN; i++) {
		struct v8_entry entry = {};
		if (!v8_is_integer(next))
			return FT_CONTEXT_MALFORMED;
		if (next >> 32 == 0xffffffff)
			return FT_CONTEXT_READ;
		if (next >> 32 >= used)
			return FT_CONTEXT_MALFORMED;
		if (bpf_probe_read_user(&entry, sizeof(entry), (void *)(base + (next >> 32) * sizeof(entry))))
			return FT_CONTEXT_UNREADABLE;
		if (entry.key == key || entry.key == moved || v8_moved(entry.key) == moved) {
			*value = entry.value;
			return FT_CONTEXT_READ;
		}
		next = entry.next;
	}
	return FT_CONTEXT_MALFORMED;
}

/* What the library keeps in a thread, whichever it is. */
struct node_storage {
	u64 slot;   /* of the isolate: what is current */
	u64 handle; /* of the storage: address of a pointer to it */
	u32 hash;   /* of the storage */
	u32 field;  /* where a value has the record; 0 = not said */
};

static __always_inline u32 node_storage(
    struct ft_scratch *s, struct ft_node_layout *layout, struct node_storage *storage) {
	u64 tls = tls_address(s, &s->process.node_context);
	if (!tls)
		return FT_CONTEXT_NONE;
	/* {slot, handle, hash, field, undefined} */
	if (layout->form == FT_NODE_THREAD_CONTEXT)
		return bpf_probe_read_user(storage, sizeof(*storage), (void *)tls) ? FT_CONTEXT_UNREADABLE
		                                                                   : FT_CONTEXT_READ;
	u64 isolate = 0;
	storage->field = 0;
	if (bpf_probe_read_user(&storage->handle, 8, (void *)tls) ||
	    bpf_probe_read_user(&storage->hash, 4, (void *)(tls + layout->hash)) ||
	    bpf_probe_read_user(&isolate, 8, (void *)(s->fs_base + layout->isolate)))
		return FT_CONTEXT_UNREADABLE;
	storage->slot = isolate ? isolate + layout->continuation : 0;
	return FT_CONTEXT_READ;
}

/* The pointer that an object of C++ has in its first field; returns enum ft_context,
 * READ with 0 = none. */
static __always_inline u32 node_field(u64 object, u32 field, u64 *pointer) {
	*pointer = 0;
	if (v8_is_integer(object))
		return FT_CONTEXT_READ;
	if (!v8_is_pointer(object))
		return FT_CONTEXT_MALFORMED;
	u64 facts = v8_class(object);
	u32 type = V8_TYPE(facts);
	if (!facts)
		return FT_CONTEXT_UNREADABLE;
	if (type == V8_ODDBALL_TYPE)
		return FT_CONTEXT_READ;
	if (type < V8_FIRST_API_TYPE || type > V8_LAST_API_TYPE)
		return FT_CONTEXT_MALFORMED;
	/* It is the only one, and no property lies in the object. */
	u32 last = (V8_FIELDS_END(facts) - 1) * 8;
	if (!field)
		field = last;
	if (field != last || field < NODE_FIRST_FIELD || field > NODE_LAST_FIELD)
		return FT_CONTEXT_MALFORMED;
	if (bpf_probe_read_user(pointer, 8, (void *)(object - V8_POINTER + field)))
		return FT_CONTEXT_UNREADABLE;
	return *pointer & 7 ? FT_CONTEXT_MALFORMED : FT_CONTEXT_READ;
}

#define IS_ADDRESS(word) ((word) && !((word) >> 47) && !((word)&7))
#define IS_CAPACITY(word) ((word) && (word) < 4096)

/*
 * @datadog/pprof has put the record behind the field itself since 5.19. Before, the
 * field pointed to an object with the record's address: 5.18 first {record, capacity,
 * ...}, 5.16 and 5.17 behind a node::ObjectWrap {table of functions, count, handle,
 * record, capacity, ...}. Only 5.20 says so in the thread; of the others the shape
 * tells, for a record begins with sixteen random bytes.
 */
static __always_inline u64 node_record(u64 pointer) {
	u64 words[5] = {};
	/* Not all records are as long. */
	if (bpf_probe_read_user(words, sizeof(words), (void *)pointer) || !IS_ADDRESS(words[0]))
		return pointer;
	if (IS_ADDRESS(words[2]) && IS_ADDRESS(words[3]) && IS_CAPACITY(words[4]))
		return words[3];
	return IS_CAPACITY(words[1]) ? words[0] : pointer;
}

/* ClWrap of custom-labels: a node::ObjectWrap, then the set, then what no other
 * object has. */
struct node_labels {
	u64 functions, count, handle, set, token;
};
#define NODE_LABELS_TOKEN 0xec9eb507fb5d7903ULL

static __always_inline u32 node_labels(u64 pointer) {
	struct node_labels labels = {};
	if (bpf_probe_read_user(&labels, sizeof(labels), (void *)pointer))
		return FT_CONTEXT_UNREADABLE;
	if (labels.token != NODE_LABELS_TOKEN || !labels.set)
		return FT_CONTEXT_MALFORMED;
	return ft_add_label_set(labels.set);
}

/* Global with a scalar argument for the verifier, as ft_step is: the index of the
 * layout. Returns enum ft_context. */
__weak __attribute__((noinline)) int ft_read_node_context(u32 index) {
	u32 zero = 0;
	struct ft_scratch *s = bpf_map_lookup_elem(&ft_scratches, &zero);
	struct ft_node_layout *layout = bpf_map_lookup_elem(&ft_node_layouts, &index);
	struct node_storage storage = {};
	if (!s || !layout)
		return FT_CONTEXT_NONE;
	u32 outcome = node_storage(s, layout, &storage);
	if (outcome != FT_CONTEXT_READ)
		return outcome;
	/* The library has not begun, or the isolate is being taken down. */
	if (!storage.slot || !storage.handle)
		return FT_CONTEXT_NONE;
	u64 current = 0;
	u64 key = 0;
	if (bpf_probe_read_user(&current, 8, (void *)storage.slot) ||
	    bpf_probe_read_user(&key, 8, (void *)storage.handle))
		return FT_CONTEXT_UNREADABLE;
	if (v8_is_integer(current))
		return FT_CONTEXT_NONE;
	if (!v8_is_pointer(current))
		return FT_CONTEXT_MALFORMED;
	u64 facts = v8_class(current);
	if (!facts)
		return FT_CONTEXT_UNREADABLE;
	if (V8_TYPE(facts) == V8_ODDBALL_TYPE)
		return FT_CONTEXT_NONE;
	if (V8_TYPE(facts) != layout->map_type)
		return FT_CONTEXT_MALFORMED;
	u64 table = 0;
	u64 value = 0;
	u64 pointer = 0;
	if (bpf_probe_read_user(&table, 8, (void *)(current - V8_POINTER + 24)))
		return FT_CONTEXT_UNREADABLE;
	outcome = v8_find(table, key, storage.hash, &value);
	if (outcome != FT_CONTEXT_READ)
		return outcome;
	outcome = node_field(value, storage.field, &pointer);
	if (outcome != FT_CONTEXT_READ)
		return outcome;
	if (!pointer)
		return FT_CONTEXT_NONE;
	if (layout->form == FT_NODE_CUSTOM_LABELS)
		return node_labels(pointer);
	return copy_thread_record(s, storage.field ? pointer : node_record(pointer));
}

static __always_inline u32 read_node_context(struct ft_scratch *s) {
	return ft_read_node_context(s->process.node - 1);
}

#endif
