/* SPDX-License-Identifier: Apache-2.0 */
/* A program is written over by another one, in the same file, between its runs: cp over the same inode. */
#include "trick.h"

FRAME static void first_program(void) {
	spin(10000000);
}
FRAME static void second_program(void) {
	spin(10000000);
}

static void write_program(const char *from, const char *path, int which) {
	static char bytes[1 << 20];
	int fd = open(from, O_RDONLY), to = open(path, O_CREAT | O_WRONLY, 0755);
	ssize_t length = read(fd, bytes, sizeof(bytes));
	close(fd);
	/* all that is behind it moves: another size, and the other half of it overwritten */
	if (to < 0 || ftruncate(to, which ? length : length + 65536) ||
	    pwrite(to, bytes, (size_t)length, 0) != length)
		exit(78);
	close(to);
}

int main(int argc, char **argv) {
	if (argc > 2) {
		if (argv[2][0] == '1')
			first_program();
		else
			second_program();
		return 0;
	}
	seconds_left(argc, argv);
	for (int round = 0;; round++) {
		write_program(argv[0], "./replaced", round % 2);
		if (!fork()) {
			execl("./replaced", "replaced", "1", round % 2 ? "1" : "2", (char *)NULL);
			_exit(79);
		}
		wait(NULL);
	}
}
