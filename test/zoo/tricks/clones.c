/* SPDX-License-Identifier: Apache-2.0 */
/* Processes that are none: memory shared without threads, vfork that computes, exec from a thread, a main
 * thread that left. */
#include "trick.h"
#include <sched.h>

static int work(void *argument) {
	(void)argument;
	spin(5000000);
	return 0;
}

static void *run_another(void *argument) {
	char **argv = argument;
	spin(1000000);
	execl(argv[0], argv[0], "2", "child", (char *)NULL);
	return NULL;
}

static void *outlive(void *argument) {
	spin(20000000);
	_exit(0);
	return argument;
}

int main(int argc, char **argv) {
	if (argc > 2)
		return work(NULL);
	seconds_left(argc, argv);
	static char stack[1 << 16] __attribute__((aligned(16)));
	for (;;) {
		int pid = clone(work, stack + sizeof(stack), CLONE_VM | SIGCHLD, NULL);
		waitpid(pid, NULL, 0);
		pid = clone(work, stack + sizeof(stack),
		    CLONE_VM | CLONE_FILES | CLONE_FS | CLONE_SIGHAND | SIGCHLD, NULL);
		waitpid(pid, NULL, 0);
		pid = vfork();
		if (pid == 0) {
			spin(3000000);
			execl(argv[0], argv[0], "2", "child", (char *)NULL);
			_exit(84);
		}
		waitpid(pid, NULL, 0);
		if (!fork()) {
			pthread_t thread;
			alarm(2);
			pthread_create(&thread, NULL, run_another, argv);
			pthread_join(thread, NULL);
			_exit(85);
		}
		if (!fork()) {
			pthread_t thread;
			alarm(2);
			pthread_create(&thread, NULL, outlive, NULL);
			pthread_exit(NULL);
		}
		while (waitpid(-1, NULL, 0) > 0)
			;
	}
}
