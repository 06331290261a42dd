/* SPDX-License-Identifier: Apache-2.0 */
/*
 * usage: dead-files SECONDS SERVER PROGRAM: runs PROGRAM from a file system of the user's own
 * (test/programs/faulty-fs.c), which then answers no request any more. Needs root to mount.
 */
#include "trick.h"
#include <sched.h>
#include <sys/mount.h>

int main(int argc, char **argv) {
	seconds_left(argc, argv);
	if (argc < 4)
		return 92;
	/* gone with us */
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return 93;
	int to[2], from[2];
	if (mkdir("./dead", 0755) || pipe(to) || pipe(from))
		return 94;
	if (!fork()) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(to[0], 0);
		dup2(from[1], 1);
		close(to[1]);
		execl(argv[2], argv[2], argv[3], "./dead", (char *)NULL);
		_exit(95);
	}
	char told[64];
	if (write(to[1], "good\n", 5) != 5 || read(from[0], told, sizeof(told)) <= 0)
		return 96;
	for (int i = 0; i < 4; i++) {
		if (!fork()) {
			execl("./dead/program", "./dead/program", argv[1], (char *)NULL);
			_exit(97);
		}
	}
	usleep(300000);
	if (write(to[1], "hang\n", 5) != 5)
		return 98;
	for (;;)
		pause();
}
