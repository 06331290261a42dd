/* SPDX-License-Identifier: Apache-2.0 */
/*
 * States the layout of V8's objects as a Node.js binary does, keeps some in its own
 * memory, and publishes them as @datadog/pprof does: as they stand, in the midst of
 * a garbage collection, and broken in every way. Burns its time meanwhile in a
 * function that says what has to come of it. usage: fake-v8 CPU_SECONDS_EACH
 */
#include "../report.h"
#include <sys/mman.h>

int v8dbg_HeapObjectTag = 1, v8dbg_HeapObjectTagMask = 3, v8dbg_SmiTag, v8dbg_SmiTagMask = 1;
int v8dbg_SmiShiftSize = 31, v8dbg_class_HeapObject__map__Map;
int v8dbg_class_Map__inobject_properties_start_or_constructor_function_index__char = 9;
int v8dbg_class_Map__instance_type__uint16_t = 12, v8dbg_class_FixedArrayBase__length__SMI = 8;
int v8dbg_class_FixedArray__data__uintptr_t = 16, v8dbg_class_JSObject__elements__Object = 16;
int v8dbg_APIObjectType = 0x422, v8dbg_type_JSMap__JS_MAP_TYPE = 2112;

typedef uint64_t word;

__thread struct {
	word *volatile slot;
	word *volatile handle;
	uint32_t hash, field;
	word undefined;
} otel_thread_ctx_nodejs_v1;

static double seconds;
static volatile uint64_t sink;

#define BURN(what)                                              \
	FRAME void what(void)                                   \
	{                                                       \
		double end = thread_cpu_seconds() + seconds;    \
		do                                              \
			sink = mix(sink + sizeof(#what), 2000); \
		while (thread_cpu_seconds() < end);             \
	}
BURN(start) BURN(whole) BURN(none) BURN(unreadable) BURN(malformed) BURN(too_long)

#define HASH 0x12345
#define BUCKETS 2
#define CAPACITY (2 * BUCKETS)

static word tagged(const void *object)
{
	return (word)(uintptr_t)object + 1;
}
static word integer(int64_t value)
{
	return (word)value << 32;
}

/* An object, and room for its copy. */
struct object {
	word words[8];
};
static struct object undefined, frame, storage, other, value, frame2, storage2, value2;
static word map_of_maps[4], map_of_undefined[4], map_of_frame[4], map_of_object[4], map_of_value[4];
static struct {
	word map, length, elements, deleted, buckets;
	word first[BUCKETS];
	struct {
		word key, value, next;
	} entries[CAPACITY];
} table, table2, good;
static word current, handle;
static struct __attribute__((aligned(8))) {
	uint8_t trace_id[16], span_id[8], valid, flags;
	uint16_t size;
	uint8_t attributes[64];
} record;
static word holder[5];
static char *no_access, *end_of_page;

static void set_map(word *map, unsigned type, unsigned fields_end)
{
	map[0] = tagged(map_of_maps);
	map[1] = (word)type << 32 | fields_end << 8 | 9;
}

static void set_up(void)
{
	set_map(map_of_undefined, 0x83, 0);
	set_map(map_of_frame, 2112, 4);
	set_map(map_of_object, 0x421, 3);
	set_map(map_of_value, 0x422, 5);
	undefined.words[0] = tagged(map_of_undefined);
	frame.words[0] = tagged(map_of_frame);
	frame.words[3] = tagged(&table);
	storage.words[0] = other.words[0] = tagged(map_of_object);
	memset(&value, 0, sizeof(value));
	value.words[0] = tagged(map_of_value);
	value.words[4] = (word)(uintptr_t)&record;
	memset(&table, 0, sizeof(table));
	table.map = tagged(map_of_object);
	table.length = integer(3 + 7 * BUCKETS);
	table.elements = integer(2);
	table.buckets = integer(BUCKETS);
	table.first[HASH & 1] = integer(0);
	table.first[~HASH & 1] = integer(-1);
	table.entries[0].key = tagged(&other);
	table.entries[0].value = tagged(&undefined);
	table.entries[0].next = integer(1);
	table.entries[1].key = tagged(&storage);
	table.entries[1].value = tagged(&value);
	table.entries[1].next = integer(-1);
	good = table;
	current = tagged(&frame);
	handle = tagged(&storage);
	memset(&record, 0, sizeof(record));
	memcpy(record.trace_id, "\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f", 16);
	memcpy(record.span_id, "\x20\x21\x22\x23\x24\x25\x26\x27", 8);
	record.valid = 1;
	otel_thread_ctx_nodejs_v1.slot = &current;
	otel_thread_ctx_nodejs_v1.handle = &handle;
	otel_thread_ctx_nodejs_v1.hash = HASH;
	otel_thread_ctx_nodejs_v1.field = 32;
	otel_thread_ctx_nodejs_v1.undefined = tagged(&undefined);
}

/* As the collector leaves what it has moved; the copy is as the object was. */
static void move(void *from, void *to, size_t size)
{
	memcpy(to, from, size);
	*(word *)from = (word)(uintptr_t)to;
}

#define CASE(burn, ...)          \
	do {                     \
		set_up();        \
		__VA_ARGS__;     \
		burn();          \
	} while (0)
#define TLS otel_thread_ctx_nodejs_v1

static void collections(void)
{
	CASE(whole, move(&frame, &frame2, sizeof(frame)));
	CASE(whole, move(&frame, &frame2, sizeof(frame)); current = tagged(&frame2));
	CASE(whole, move(&table, &table2, sizeof(table)));
	CASE(whole, move(&table, &table2, sizeof(table)); frame.words[3] = tagged(&table2));
	/* storage: moved, one or the other pointer to it replaced, or both */
	CASE(whole, move(&storage, &storage2, sizeof(storage)));
	CASE(whole, move(&storage, &storage2, sizeof(storage)); handle = tagged(&storage2));
	CASE(whole, move(&storage, &storage2, sizeof(storage)); table.entries[1].key = tagged(&storage2));
	CASE(whole, move(&storage, &storage2, sizeof(storage)); handle = tagged(&storage2);
	     table.entries[1].key = tagged(&storage2));
	CASE(whole, move(&value, &value2, sizeof(value)));
	CASE(whole, move(&value, &value2, sizeof(value)); table.entries[1].value = tagged(&value2));
	/* all at once, nothing replaced; the old table is what is read */
	CASE(whole, move(&frame, &frame2, sizeof(frame)); move(&table, &table2, sizeof(table));
	     move(&storage, &storage2, sizeof(storage)); move(&value, &value2, sizeof(value)));
	CASE(whole, move(&table, &table2, sizeof(table)); move(&storage, &storage2, sizeof(storage));
	     move(&value, &value2, sizeof(value)); handle = tagged(&storage2);
	     table2.entries[1].value = tagged(&value2));
	/* a map (hidden class) that was moved is not followed */
	CASE(none, move(&undefined, &value2, sizeof(undefined)); current = tagged(&undefined));
}

static void layouts(void)
{
	/* @datadog/pprof 5.19, 5.18, 5.17 */
	CASE(whole, TLS.field = 0);
	CASE(whole, TLS.field = 0; value.words[4] = (word)(uintptr_t)holder; holder[0] = (word)(uintptr_t)&record;
	     holder[1] = 36; holder[2] = holder[3] = 0);
	CASE(whole, TLS.field = 0; value.words[4] = (word)(uintptr_t)holder; holder[0] = (word)(uintptr_t)&table;
	     holder[1] = 0; holder[2] = (word)(uintptr_t)&handle; holder[3] = (word)(uintptr_t)&record;
	     holder[4] = 36);
	/* a record at the end of what there is */
	CASE(whole, TLS.field = 0; value.words[4] = (word)(uintptr_t)memcpy(end_of_page - 32, &record, 32));
	/* V8 before 12.8 */
	CASE(whole, TLS.field = 24; set_map(map_of_value, 0x422, 4); value.words[3] = value.words[4]);
	CASE(whole, record.size = 2; record.attributes[0] = 0);
}

static void nothing(void)
{
	CASE(none, current = tagged(&undefined));
	CASE(none, current = 0);
	CASE(none, TLS.slot = NULL);
	CASE(none, TLS.handle = NULL);
	CASE(none, table.first[HASH & 1] = integer(-1));
	CASE(none, table.entries[0].next = integer(-1));
	/* the entry was deleted */
	CASE(none, table.entries[1].key = tagged(&undefined); table.elements = integer(1); table.deleted = integer(1));
	CASE(none, table.entries[1].value = tagged(&undefined));
	CASE(none, table.entries[1].value = integer(7));
	CASE(none, value.words[4] = 0);
	CASE(none, record.valid = 0);
}

static void broken(void)
{
	CASE(unreadable, TLS.slot = (word *)no_access);
	CASE(unreadable, TLS.handle = (word *)(end_of_page - 4));
	CASE(unreadable, current = tagged(no_access));
	CASE(unreadable, current = tagged((void *)0x800000000000000));
	CASE(unreadable, frame.words[0] = (word)(uintptr_t)no_access);
	CASE(unreadable, frame.words[0] = tagged(no_access));
	CASE(unreadable, frame.words[3] = tagged(no_access));
	CASE(unreadable, frame.words[3] = tagged(end_of_page - 32));
	CASE(unreadable, handle = tagged(no_access));
	CASE(unreadable, table.entries[1].value = tagged(no_access));
	CASE(unreadable, value.words[4] = (word)(uintptr_t)no_access);
	CASE(unreadable, value.words[4] = (word)(uintptr_t)end_of_page - 24);
	/* the copy was moved too: that does not happen */
	CASE(unreadable, frame.words[0] = (word)(uintptr_t)&frame2; frame2.words[0] = (word)(uintptr_t)&frame);
	/* a table that ends before its entries do */
	CASE(unreadable, memcpy(end_of_page - 56, &table, 56); frame.words[3] = tagged(end_of_page - 56));

	CASE(malformed, current |= 2);
	CASE(malformed, handle = integer(1));
	CASE(malformed, frame.words[0] = tagged(map_of_object));
	CASE(malformed, frame.words[3] = integer(1));
	CASE(malformed, table.buckets = integer(3); table.length = integer(3 + 7 * 3));
	CASE(malformed, table.buckets = 0; table.length = integer(3));
	CASE(malformed, table.buckets = integer(1 << 30));
	CASE(malformed, table.buckets = integer(-2));
	CASE(malformed, table.length = integer(4));
	CASE(malformed, table.elements = integer(5));
	CASE(malformed, table.elements = integer(-1));
	CASE(malformed, table.buckets = tagged(&table));
	CASE(malformed, table.first[HASH & 1] = tagged(&table));
	CASE(malformed, table.first[HASH & 1] = integer(2));
	CASE(malformed, table.entries[0].next = integer(-2));
	CASE(malformed, table.entries[0].next = integer(0));
	CASE(malformed, table.entries[1].value = tagged(&other));
	CASE(malformed, table.entries[1].value |= 2);
	CASE(malformed, set_map(map_of_value, 0x422, 0));
	CASE(malformed, set_map(map_of_value, 0x422, 255); TLS.field = 0);
	CASE(malformed, TLS.field = 40);
	CASE(malformed, value.words[4] |= 1);
	CASE(malformed, value.words[4] |= 4);
	CASE(malformed, record.valid = 2);
	CASE(malformed, memset(record.span_id, 0, 8));
	CASE(too_long, record.size = 0xffff);
}

int main(int argc, char **argv)
{
	seconds = argc > 1 ? atof(argv[1]) : 0.05;
	char *pages = mmap(NULL, 3 << 12, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (pages == MAP_FAILED || mprotect(pages + 4096, 8192, PROT_NONE))
		return 1;
	end_of_page = pages + 4096;
	no_access = pages + 8192;
	memset(pages, 0, 4096);
	set_map(map_of_maps, 0xff, 0);
	/* A profiler needs a moment to find out how to read the process. */
	for (int i = 0; i < 4; i++)
		start();
	usleep(1000 * 1000);
	collections();
	layouts();
	nothing();
	broken();
	return 0;
}
