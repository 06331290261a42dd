/* SPDX-License-Identifier: Apache-2.0 */
/* 2,000 different libraries in one process, all of which run. */
#include "library.h"

int main(int argc, char **argv) {
	seconds_left(argc, argv);
	char path[64];
	static plugin_function works[2000];
	for (unsigned i = 0; i < 2000; i++) {
		void *handle;
		snprintf(path, sizeof(path), "./one-of-many-%u.so", i);
		copy_library(argv[0], path);
		works[i] = load(path, &handle);
		unlink(path);
	}
	for (unsigned i = 0;; i++)
		sink += works[i % 2000](200000);
}
