/* SPDX-License-Identifier: Apache-2.0 */
/* Libraries come and go, 64 copies under as many names, at the same addresses. */
#include "library.h"

int main(int argc, char **argv) {
	seconds_left(argc, argv);
	char path[64];
	for (unsigned round = 0;; round++) {
		void *handle;
		snprintf(path, sizeof(path), "./loop-%u.so", round % 64);
		if (round < 64)
			copy_library(argv[0], path);
		plugin_function work = load(path, &handle);
		sink += work(500000);
		dlclose(handle);
	}
}
