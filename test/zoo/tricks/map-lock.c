/* SPDX-License-Identifier: Apache-2.0 */
/* Eight threads map and unmap all the time, executable too: whoever reads the mappings waits for the lock. */
#include "trick.h"

static void *churn(void *argument) {
	unsigned long pages = 64 + (unsigned long)argument;
	for (;;) {
		char *at = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
		if (at != MAP_FAILED) {
			mprotect(at + PAGE, PAGE, PROT_READ);
			munmap(at, pages * PAGE);
		}
	}
	return NULL;
}

int main(int argc, char **argv) {
	seconds_left(argc, argv);
	pthread_t thread;
	for (unsigned long i = 0; i < 7; i++)
		pthread_create(&thread, NULL, churn, (void *)i);
	churn((void *)7);
}
