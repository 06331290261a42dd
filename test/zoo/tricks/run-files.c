/* SPDX-License-Identifier: Apache-2.0 */
/*
 * usage: run-files SECONDS FILE...: maps the second page of each file executable, which begins with
 * code, and runs it; what else is in the files is for whoever reads them.
 */
#include "trick.h"

int main(int argc, char **argv) {
	seconds_left(argc, argv);
	for (;;) {
		for (int file = 2; file < argc; file++) {
			int fd = open(argv[file], O_RDONLY);
			void *code = mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, PAGE);
			close(fd);
			if (code == MAP_FAILED)
				return 87;
			for (int i = 0; i < 20; i++)
				run_code(code, 5000000);
			munmap(code, PAGE);
		}
	}
}
