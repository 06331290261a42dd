/* SPDX-License-Identifier: Apache-2.0 */
/* 300 processes, each with code and a perf map of its own: descriptors. */
#include "trick.h"

int main(int argc, char **argv) {
	unsigned seconds = seconds_left(argc, argv);
	for (int i = 0; i < 300; i++) {
		if (fork())
			continue;
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		alarm(seconds);
		unsigned char *code = code_pages(NULL, 1);
		FILE *map = perf_map("w");
		for (unsigned long entry = 0; entry < 100; entry++)
			fprintf(map, "%lx 10 of_%d_%lu\n", (unsigned long)code + entry * 16, i, entry);
		fclose(map);
		for (;;) {
			run_code(code, 2000000);
			usleep(500000);
		}
	}
	for (;;)
		pause();
}
