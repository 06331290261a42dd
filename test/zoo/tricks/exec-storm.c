/* SPDX-License-Identifier: Apache-2.0 */
/* 100 programs a second, each of which runs another one in its place at once. */
#include "trick.h"

int main(int argc, char **argv) {
	if (argc > 2) {
		int left = atoi(argv[2]);
		char next[16];
		spin(50000);
		if (left == 0)
			return 0;
		snprintf(next, sizeof(next), "%d", left - 1);
		execl(argv[0], argv[0], "2", next, (char *)NULL);
		return 80;
	}
	seconds_left(argc, argv);
	signal(SIGCHLD, SIG_IGN);
	for (;;) {
		if (!fork()) {
			alarm(2);
			execl(argv[0], argv[0], "2", "4", (char *)NULL);
			_exit(81);
		}
		usleep(50000);
	}
}
