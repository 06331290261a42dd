/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Publishes nonsense, a kind after the other, and burns its time in a function that
 * says what has to come of it. usage: hostile CPU_SECONDS_EACH
 */
#include "../report.h"
#include <pthread.h>
#include <sys/mman.h>

struct record {
	uint8_t trace_id[16];
	uint8_t span_id[8];
	uint8_t valid, flags;
	uint16_t size;
	uint8_t attributes[1024];
};
struct string {
	size_t length;
	const char *bytes;
};
struct label {
	struct string key, value;
};
struct set {
	struct label *storage;
	size_t count, capacity;
};

__thread void *volatile otel_thread_ctx_v1;
__thread void *volatile custom_labels_current_set;
unsigned custom_labels_abi_version = 1;

static double seconds;
static volatile uint64_t sink;
static volatile int done;

/* What readers are to make of what was published. */
#define BURN(what)                                                      \
	FRAME void what(void)                                           \
	{                                                               \
		double end = thread_cpu_seconds() + seconds;            \
		do                                                      \
			sink = mix(sink + sizeof(#what), 2000);         \
		while (thread_cpu_seconds() < end);                     \
	}
BURN(none) BURN(unreadable) BURN(malformed) BURN(too_long) BURN(changing)

static char *page, *end_of_page, *no_access;

static void context(void *pointer, void (*burn)(void))
{
	otel_thread_ctx_v1 = pointer;
	burn();
	otel_thread_ctx_v1 = NULL;
}

static void labels(void *pointer, void (*burn)(void))
{
	custom_labels_current_set = pointer;
	burn();
	custom_labels_current_set = NULL;
}

/* A good record, to be spoilt. */
static struct record good(void)
{
	struct record record = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16},
	    {1, 2, 3, 4, 5, 6, 7, 8}, 1, 1, 0, {0}};
	return record;
}

static struct label label(const char *key, const char *value)
{
	struct label one = {{strlen(key), key}, {strlen(value), value}};
	return one;
}

static void contexts(void)
{
	context((void *)0x10, unreadable);
	context((void *)0x800000000000000, unreadable);
	context((void *)-2, unreadable);
	context(no_access, unreadable);
	context(end_of_page - 16, unreadable);
	struct record record = good();
	context((char *)&record + 1, malformed);
	for (int valid = 2; valid < 256; valid += 253) {
		record.valid = (uint8_t)valid;
		context(&record, malformed);
	}
	record = good();
	memset(record.span_id, 0, 8);
	context(&record, malformed);
	record = good();
	memset(record.trace_id, 0, 16);
	context(&record, malformed);
	record = good();
	record.valid = 0;
	context(&record, none);
	memset(&record, 0, sizeof(record));
	record.valid = 1;
	context(&record, none);
	/* its attributes go on behind the end */
	struct record *last = (struct record *)(end_of_page - 28 - 100);
	record = good();
	memcpy(last, &record, 28);
	last->size = 101;
	context(last, unreadable);
	last->size = 0xffff;
	context(last, too_long);
}

static void label_sets(void)
{
	labels((void *)0x20, unreadable);
	labels(no_access, unreadable);
	struct label some[80];
	for (int i = 0; i < 80; i++)
		some[i] = label("nothing", "of interest");
	struct set set = {NULL, 3, 3};
	labels(&set, malformed);
	set.storage = (struct label *)no_access;
	labels(&set, unreadable);
	set.storage = (struct label *)(end_of_page - 64);
	memset(end_of_page - 64, 0, 64);
	labels(&set, unreadable);
	set.count = 2;
	labels(&set, none);
	set.storage = some;
	set.count = (size_t)1 << 60;
	labels(&set, too_long);
	set.count = 4;
	labels(&set, none);
	some[3] = label("trace_id", "");
	some[3].value.bytes = NULL;
	labels(&set, malformed);
	some[3].value = (struct string){32, no_access};
	labels(&set, unreadable);
	some[3].value = (struct string){(size_t)1 << 40, page};
	labels(&set, too_long);
	some[3].key = (struct string){8, no_access};
	labels(&set, unreadable);
	some[3].key = (struct string){(size_t)-8, "trace_id"};
	labels(&set, none);
	/* not what an id is */
	some[3] = label("trace_id", "\xff\xfe not an id \n\0");
	labels(&set, malformed);
}

/* Another thread writes what this one publishes, without a word. */
static struct record shared;

static void *scribble(void *argument)
{
	struct record one = good(), other = good();
	memset(other.trace_id, 0xee, 16);
	memset(other.span_id, 0xee, 8);
	while (!done) {
		shared = one;
		__asm__ volatile("" ::: "memory");
		shared = other;
		__asm__ volatile("" ::: "memory");
	}
	return argument;
}

int main(int argc, char **argv)
{
	seconds = seconds_argument(argc, argv, 0.1);
	page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	end_of_page = page + 4096;
	munmap(end_of_page, 4096);
	no_access = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(page, 'x', 4096);
	for (int i = 0; i < 10; i++) {
		sink = mix(sink, 2000000);
		usleep(50000);
	}
	contexts();
	label_sets();
	pthread_t writer;
	pthread_create(&writer, NULL, scribble, NULL);
	for (int i = 0; i < 5; i++)
		context(&shared, changing);
	done = 1;
	pthread_join(writer, NULL);
	return 0;
}
