/* SPDX-License-Identifier: Apache-2.0 */
/* A perf map that grows as fast as the disk takes it, then begins anew: lines without end, names of
 * megabytes, holes. */
#include "trick.h"

#define MEGABYTE (1ul << 20)

int main(int argc, char **argv) {
	seconds_left(argc, argv);
	unsigned char *code = code_pages(NULL, 16);
	char *name = malloc(MEGABYTE);
	memset(name, 'x', MEGABYTE);
	for (;;) {
		FILE *map = perf_map("w");
		for (int i = 0; i < 200; i++) {
			fprintf(map, "%lx 1000 ", (unsigned long)code + (unsigned long)(i % 16) * PAGE);
			fwrite(name, 1, MEGABYTE, map);
			if (i % 3)
				fputc('\n', map);
			fflush(map);
			if (i % 50 == 49)
				fseek(map, 256 * (long)MEGABYTE, SEEK_CUR);
			run_code(code + i % 16 * PAGE, 3000000);
		}
		fclose(map);
	}
}
