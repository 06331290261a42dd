/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Serves requests on several threads: request N burns its time in burnN, and the
 * carrier says so. usage: requests CPU_SECONDS THREADS SLICE_US STYLE REPORT [LIBRARY...]
 * The last LIBRARY has the carrier and is loaded when the threads already run, the
 * others before it; without one the carrier is linked. A thread more serves none.
 */
#include "../report.h"
#include "carrier.h"
#include <dlfcn.h>
#include <pthread.h>

#define REQUESTS 12
#define MAX_THREADS 64

#define BURN(n)                                                 \
	FRAME uint64_t burn##n(uint64_t x, double seconds)      \
	{                                                       \
		double end = thread_cpu_seconds() + seconds;    \
		do                                              \
			x = mix(x + n, 1500);                   \
		while (thread_cpu_seconds() < end);             \
		return x + n;                                   \
	}
BURN(0) BURN(1) BURN(2) BURN(3) BURN(4) BURN(5) BURN(6) BURN(7) BURN(8) BURN(9) BURN(10) BURN(11)

static uint64_t (*const burns[REQUESTS])(uint64_t, double) = {burn0, burn1, burn2, burn3, burn4, burn5,
							      burn6, burn7, burn8, burn9, burn10, burn11};

FRAME uint64_t burn_for_nobody(uint64_t x, double seconds)
{
	double end = thread_cpu_seconds() + seconds;
	do
		x = mix(x, 1500);
	while (thread_cpu_seconds() < end);
	return x + 1;
}

static void (*enter)(int);
static void (*leave)(void);
static double slice;
static double cpu_seconds;
static volatile uint64_t sink;
static volatile int done;
static double cpu[MAX_THREADS + 1][REQUESTS];
static pthread_barrier_t ready;

#ifdef LINKED
#define START carrier_start
#else
static void (*START)(int, const char *);
#endif

static void *serve(void *argument)
{
	intptr_t thread = (intptr_t)argument;
	uint64_t x = (uint64_t)thread * 7919 + 1;
	pthread_barrier_wait(&ready);
	pthread_barrier_wait(&ready);
	for (double end = thread_cpu_seconds() + cpu_seconds; thread_cpu_seconds() < end;) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		int request = (int)(x % REQUESTS);
		double seconds = slice * (0.5 + (double)(x >> 40 & 1023) / 1024);
		enter(request);
		double before = thread_cpu_seconds();
		sink += burns[request](x, seconds);
		cpu[thread][request] += thread_cpu_seconds() - before;
		leave();
		/* waits for something, as a request does */
		if (x >> 32 & 1)
			usleep((useconds_t)(slice * 1e5));
	}
	return NULL;
}

static void *serve_nobody(void *argument)
{
	(void)argument;
	pthread_barrier_wait(&ready);
	pthread_barrier_wait(&ready);
	while (!done) {
		sink += burn_for_nobody(1, 0.001);
		usleep(4000);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	if (argc < 6)
		return 2;
	cpu_seconds = atof(argv[1]);
	int threads = atoi(argv[2]);
	if (threads < 1 || threads > MAX_THREADS)
		return 2;
	slice = atof(argv[3]) * 1e-6;
	pthread_barrier_init(&ready, NULL, (unsigned)threads + 2);
	pthread_t running[MAX_THREADS + 1];
	for (intptr_t i = 0; i < threads; i++)
		pthread_create(&running[i], NULL, serve, (void *)i);
	pthread_create(&running[threads], NULL, serve_nobody, NULL);
	pthread_barrier_wait(&ready);
#ifdef LINKED
	enter = carrier_enter;
	leave = carrier_leave;
#else
	void *library = NULL;
	for (int i = 6; i < argc; i++) {
		library = dlopen(argv[i], RTLD_NOW | RTLD_LOCAL);
		if (!library) {
			fprintf(stderr, "%s\n", dlerror());
			return 1;
		}
	}
	START = (void (*)(int, const char *))dlsym(library, "carrier_start");
	enter = (void (*)(int))dlsym(library, "carrier_enter");
	leave = (void (*)(void))dlsym(library, "carrier_leave");
#endif
	START(REQUESTS, argv[4]);
	/* The profiler has time to find what was loaded: first samples are another test's. */
	for (int i = 0; i < 10; i++) {
		sink += burn_for_nobody(1, 0.02);
		usleep(50000);
	}
	pthread_barrier_wait(&ready);
	for (int i = 0; i < threads; i++)
		pthread_join(running[i], NULL);

	done = 1;
	pthread_join(running[threads], NULL);

	FILE *out = fopen(argv[5], "w");
	if (!out)
		return 1;
	for (int request = 0; request < REQUESTS; request++) {
		uint8_t trace[16], span[8];
		char trace_id[33], span_id[17];
		request_ids(request, trace, span);
		hex(trace_id, trace, 16);
		hex(span_id, span, 8);
		double seconds = 0;
		for (int i = 0; i < threads; i++)
			seconds += cpu[i][request];
		fprintf(out, "{\"function\":\"burn%d\",\"trace_id\":\"%s\",\"span_id\":\"%s\",\"cpu_seconds\":%.6f}\n",
			request, trace_id, span_id, seconds);
	}
	fclose(out);
	return 0;
}
