/* SPDX-License-Identifier: Apache-2.0 */
/* 5,000 threads that wake up a hundred times a second between them, and some that come and go. */
#include "trick.h"

static void *sleeper(void *argument) {
	for (;;) {
		spin(20000);
		usleep(4000000 + (useconds_t)(uintptr_t)argument * 100);
	}
	return NULL;
}

static void *brief(void *argument) {
	spin(100000);
	return argument;
}

int main(int argc, char **argv) {
	seconds_left(argc, argv);
	pthread_attr_t small;
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 65536);
	pthread_t thread;
	for (uintptr_t i = 0; i < 5000; i++)
		if (pthread_create(&thread, &small, sleeper, (void *)i))
			break;
	for (;;) {
		if (!pthread_create(&thread, &small, brief, NULL))
			pthread_join(thread, NULL);
		usleep(2000);
	}
}
