/* SPDX-License-Identifier: Apache-2.0 */
/* Code that is written anew at the same place all the time, each time with a name in the map. */
#include "trick.h"

int main(int argc, char **argv) {
	seconds_left(argc, argv);
	unsigned char *code =
	    mmap(NULL, 64 * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	FILE *map = perf_map("w");
	for (unsigned long round = 0;; round++) {
		unsigned long at = round * 48 % (63 * PAGE);
		memcpy(code + at, loop_code, sizeof(loop_code));
		fprintf(map, "%lx %zx generation_%lu\n", (unsigned long)code + at, sizeof(loop_code), round);
		fflush(map);
		run_code(code + at, 50000);
	}
}
