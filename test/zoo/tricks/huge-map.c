/* SPDX-License-Identifier: Apache-2.0 */
/* A perf map of 63 MB whose first entry is what runs. */
#include "trick.h"

int main(int argc, char **argv) {
	seconds_left(argc, argv);
	unsigned char *code = code_pages(NULL, 1);
	FILE *map = perf_map("w");
	fprintf(map, "%lx %zx jit_hot\n", (unsigned long)code, sizeof(loop_code));
	for (unsigned long i = 0; i < 900000; i++)
		fprintf(map, "%lx 40 LazyCompile:~handler%06lu /srv/shop/lib/module%04lu.js:%lu:7\n",
		    0x100000000000ul + i * 64, i, i % 7919, 1 + i % 977);
	fclose(map);
	for (;;)
		run_code(code, 1000000);
}
