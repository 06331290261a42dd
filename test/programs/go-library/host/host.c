/* Loads the Go library at run time. usage: host SECONDS LIBRARY REPORT; writes
 * `Work GOROUTINE` once and `Background GOROUTINE` for each. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

typedef long (*called)(long rounds);

__attribute__((noinline)) static long in_c(long rounds) {
	volatile long x = rounds;
	for (long i = 0; i < rounds; i++)
		x = x * 3 + i;
	return x;
}

static double now(void) {
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec * 1e-9;
}

int main(int count, char **arguments) {
	void *library = count == 4 ? dlopen(arguments[2], RTLD_NOW) : NULL;
	if (!library) {
		fprintf(stderr, "host: %s\n", dlerror());
		return 1;
	}
	FILE *report = fopen(arguments[3], "w");
	if (!report)
		return 1;
	called work = (called)dlsym(library, "Work");
	called background = (called)dlsym(library, "Background");
	double end = now() + atof(arguments[1]);
	long goroutine = 0;
	while (now() < end) {
		goroutine = work(20000000);
		in_c(20000000);
		fprintf(report, "Background %ld\n", background(20000000));
	}
	fprintf(report, "Work %ld\n", goroutine);
}
