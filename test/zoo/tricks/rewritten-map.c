/* SPDX-License-Identifier: Apache-2.0 */
/* A perf map of 20 MB that is written anew every half second, and code at ever new places. */
#include "trick.h"

int main(int argc, char **argv) {
	seconds_left(argc, argv);
	unsigned char *code = code_pages(NULL, 256);
	for (unsigned round = 0;; round++) {
		FILE *map = perf_map("w");
		for (unsigned long i = 0; i < 300000; i++)
			fprintf(map, "%lx 40 round%u_function_with_a_longer_name_%lu\n",
			    (unsigned long)code + i * 64, round, i);
		fclose(map);
		for (unsigned i = 0; i < 250; i++)
			run_code(code + (round * 16 + i) % 256 * PAGE, 2000000);
	}
}
