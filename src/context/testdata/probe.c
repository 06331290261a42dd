/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Says for three threads where the variable lies and where their thread pointer
 * points, one line each, and waits until its input ends. Files given as arguments
 * are loaded when the first threads run; the last one has the variable. The
 * last line is of a thread that has not used the variable.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#ifdef EXTERN
/* The library that defines it is only asked for by this program. */
extern __thread void *otel_thread_ctx_v1;
static void *place(void)
{
	return &otel_thread_ctx_v1;
}
#elif defined(LINKED)
void *place(void);
#else
static void *(*place)(void);
#endif

static pthread_barrier_t loaded, said, end;

static void *say(void *use)
{
	pthread_barrier_wait(&loaded);
	pthread_barrier_wait(&loaded);
	if (use)
		printf("%lx %lx\n", (unsigned long)place(), (unsigned long)pthread_self());
	pthread_barrier_wait(&said);
	if (!use)
		printf("0 %lx\n", (unsigned long)pthread_self());
	fflush(stdout);
	pthread_barrier_wait(&end);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t early, idle;
	(void)argc;
	(void)argv;
	pthread_barrier_init(&loaded, NULL, 3);
	pthread_barrier_init(&said, NULL, 3);
	pthread_barrier_init(&end, NULL, 3);
	pthread_create(&early, NULL, say, "");
	pthread_create(&idle, NULL, say, NULL);
	pthread_barrier_wait(&loaded);
#if !defined(LINKED) && !defined(EXTERN)
	for (int i = 1; i < argc; i++) {
		void *library = dlopen(argv[i], RTLD_NOW);
		if (!library) {
			fprintf(stderr, "%s\n", dlerror());
			return 1;
		}
		place = (void *(*)(void))dlsym(library, "place");
	}
#endif
	printf("%lx %lx\n", (unsigned long)place(), (unsigned long)pthread_self());
	pthread_barrier_wait(&loaded);
	pthread_barrier_wait(&said);
	char byte;
	while (read(0, &byte, 1) > 0)
		;
	pthread_barrier_wait(&end);
	return 0;
}
