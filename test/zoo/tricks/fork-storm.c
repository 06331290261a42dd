/* SPDX-License-Identifier: Apache-2.0 */
/* 200 processes a second that live for a moment, and children of children. */
#include "trick.h"

int main(int argc, char **argv) {
	seconds_left(argc, argv);
	signal(SIGCHLD, SIG_IGN);
	for (;;) {
		if (!fork()) {
			alarm(2);
			spin(200000);
			if (!fork())
				spin(200000);
			_exit(0);
		}
		usleep(10000);
	}
}
