/* SPDX-License-Identifier: Apache-2.0 */
/* usage: foreign-map SECONDS PID: writes a perf map for a process of somebody else, with a name for its code.
 */
#include "trick.h"

int main(int argc, char **argv) {
	seconds_left(argc, argv);
	char name[64];
	snprintf(name, sizeof(name), "/tmp/perf-%s.map", argc > 2 ? argv[2] : "1");
	int fd = open(name, O_CREAT | O_WRONLY | O_APPEND, 0644);
	for (unsigned round = 0; fd >= 0; round++) {
		dprintf(fd, "200000000000 1000 zoo_foreign_%u\n", round);
		usleep(100000);
	}
	return 91;
}
