/* SPDX-License-Identifier: Apache-2.0 */
/* Programs without a file: run from memory, deleted, or unlinked while they run. */
#include "trick.h"

extern char **environ;

int main(int argc, char **argv) {
	if (argc > 2) {
		unlink("./deleted");
		spin(10000000);
		return 0;
	}
	seconds_left(argc, argv);
	static char bytes[1 << 20];
	int self = open("/proc/self/exe", O_RDONLY);
	ssize_t length = read(self, bytes, sizeof(bytes));
	char *arguments[] = {argv[0], "2", "child", NULL};
	for (unsigned round = 0;; round++) {
		int fd = round % 2 ? (int)syscall(SYS_memfd_create, "a;b\n (deleted)", 0)
		                   : open("./deleted", O_CREAT | O_WRONLY, 0755);
		if (write(fd, bytes, (size_t)length) != length)
			return 89;
		if (round % 2 == 0)
			close(fd);
		if (!fork()) {
			if (round % 2)
				fexecve(fd, arguments, environ);
			else
				execv("./deleted", arguments);
			_exit(90);
		}
		wait(NULL);
		if (round % 2)
			close(fd);
	}
}
