/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads made with clone() alone, without the thread library: no TLS, no
 * pthread frames below the root. usage: clones [SECONDS=2 [THREADS=2]]
 * Chain: <clone>, body, work.
 */
#include "report.h"
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>

static volatile int stop;
static int alive[64];

FRAME uint64_t work(uint64_t x)
{
	return mix(x, 5000) + 1;
}

/* No libc calls here: errno would land in the main thread's TLS. */
static FRAME int body(void *argument)
{
	uint64_t x = (uint64_t)(uintptr_t)argument;
	while (!stop)
		x ^= work(x);
	return (int)(x & 1);
}

int main(int argc, char **argv)
{
	double seconds = seconds_argument(argc, argv, 2);
	int threads = argc > 2 ? atoi(argv[2]) : 2;
	if (threads > 64)
		threads = 64;
	int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |
		    CLONE_CHILD_CLEARTID;
	for (int i = 0; i < threads; i++) {
		char *stack = malloc(1 << 16);
		alive[i] = 1;
		if (clone(body, stack + (1 << 16), flags, (void *)(intptr_t)i, NULL, NULL, &alive[i]) < 0)
			return 1;
	}
	struct timespec pause = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
	nanosleep(&pause, NULL);
	stop = 1;
	for (int i = 0; i < threads; i++) {
		int now;
		while ((now = __atomic_load_n(&alive[i], __ATOMIC_ACQUIRE)) != 0)
			syscall(SYS_futex, &alive[i], FUTEX_WAIT, now, NULL, NULL, 0);
	}
	report("clones", "[[\"body\",\"work\"]]");
	return 0;
}
