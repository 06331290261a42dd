/* SPDX-License-Identifier: Apache-2.0 */
/* A library is cut behind the code that runs while it is mapped: no tables, no symbols, no end. */
#include "library.h"

int main(int argc, char **argv) {
	seconds_left(argc, argv);
	char path[64];
	for (unsigned round = 0;; round++) {
		void *handle;
		snprintf(path, sizeof(path), "./cut-%u.so", round);
		copy_library(argv[0], path);
		plugin_function work = load(path, &handle);
		sink += work(round % 2 ? 1000 : 20000000);
		/* the page of the code stays; where it begins in the file, ld says */
		if (truncate(path, 0x1000 + (long)((uintptr_t)work % PAGE) + 256))
			return 76;
		sink += work(30000000);
		/* not unloaded: its tables of destructors are gone. Nor is it kept for long. */
		unlink(path);
		if (round % 64 == 63) {
			if (!fork()) {
				execv(argv[0], argv);
				_exit(77);
			}
			wait(NULL);
		}
	}
}
