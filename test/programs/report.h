/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared by the C and C++ test programs: spend a given amount of CPU time and
 * say afterwards how much it really was.
 */
#ifndef TEST_REPORT_H
#define TEST_REPORT_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* Neither inlined, cloned, merged nor analysed across calls: the frame exists at every -O level. */
#define FRAME __attribute__((noipa, noinline))

static inline __attribute__((always_inline)) double thread_cpu_seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* About 0.3-0.5 us per 100 rounds; no calls, so that the caller is the leaf. */
static inline __attribute__((always_inline)) uint64_t mix(uint64_t x, int rounds)
{
	for (int i = 0; i < rounds; i++)
		x = x * 6364136223846793005ULL + 1442695040888963407ULL + (uint64_t)i;
	return x;
}

/*
 * One line of JSON to the file named by TEST_REPORT (appended), else to stdout.
 * `chains` is a JSON value: an array of arrays of names, outermost first.
 */
static inline void report(const char *program, const char *chains)
{
	struct rusage usage;
	getrusage(RUSAGE_SELF, &usage);
	uint64_t cpu_ns = (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000000ULL +
			  (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000ULL;
	const char *path = getenv("TEST_REPORT");
	FILE *out = path ? fopen(path, "a") : stdout;
	if (!out)
		out = stdout;
	fprintf(out, "{\"program\":\"%s\",\"pid\":%d,\"cpu_ns\":%llu,\"switches\":%ld,\"chains\":%s}\n", program,
		(int)getpid(), (unsigned long long)cpu_ns, usage.ru_nvcsw + usage.ru_nivcsw, chains);
	if (out != stdout)
		fclose(out);
	else
		fflush(stdout);
}

static inline double seconds_argument(int argc, char **argv, double otherwise)
{
	return argc > 1 ? atof(argv[1]) : otherwise;
}
#endif
