/* SPDX-License-Identifier: Apache-2.0 */
/*
 * usage: secret-map SECONDS FILE KIND. Its perf map is a link to FILE, which only root may read
 * and which has a name for the code that runs here; or a FIFO.
 */
#include "trick.h"

int main(int argc, char **argv) {
	seconds_left(argc, argv);
	char name[64];
	snprintf(name, sizeof(name), "/tmp/perf-%d.map", (int)getpid());
	unlink(name);
	if (argc > 3 && !strcmp(argv[3], "fifo"))
		mkfifo(name, 0644);
	else if (argc > 2 && symlink(argv[2], name))
		return 71;
	unsigned char *code = code_pages((void *)0x100000000000ul, 1);
	for (;;)
		run_code(code, 1000000);
}
