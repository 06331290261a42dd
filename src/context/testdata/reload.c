/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loads the library that is its first argument and uses its variable in two threads;
 * at a line of input it unloads it and loads the second one, which gets the same
 * number. Says a line after each.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

static void *(*place)(void);

static void *use(void *unused)
{
	(void)unused;
	place();
	for (;;)
		pause();
}

static void *load(const char *path)
{
	void *library = dlopen(path, RTLD_NOW);
	if (!library) {
		fprintf(stderr, "%s\n", dlerror());
		_exit(1);
	}
	place = (void *(*)(void))dlsym(library, "place");
	place();
	puts("loaded");
	fflush(stdout);
	return library;
}

int main(int argc, char **argv)
{
	pthread_t thread;
	char line[16];
	(void)argc;
	void *first = load(argv[1]);
	pthread_create(&thread, NULL, use, NULL);
	if (!fgets(line, sizeof(line), stdin))
		return 1;
	dlclose(first);
	load(argv[2]);
	return fgets(line, sizeof(line), stdin) != NULL;
}
