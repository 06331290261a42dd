/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a file of 1 GiB, nearly all of it a hole, without build id, a new one each time. */
#include "trick.h"

int main(int argc, char **argv) {
	if (argc > 2) {
		spin(10000000);
		return 0;
	}
	seconds_left(argc, argv);
	char path[64];
	for (unsigned round = 0;; round++) {
		snprintf(path, sizeof(path), "sparse-%u", round);
		int from = open("/proc/self/exe", O_RDONLY),
		    to = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0755);
		static char bytes[1 << 20];
		ssize_t length = read(from, bytes, sizeof(bytes));
		if (to < 0 || write(to, bytes, (size_t)length) != length || ftruncate(to, 1l << 30))
			return 72;
		close(from);
		close(to);
		if (!fork()) {
			execl(path, path, "1", "child", (char *)NULL);
			_exit(73);
		}
		wait(NULL);
		unlink(path);
	}
}
