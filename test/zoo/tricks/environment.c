/* SPDX-License-Identifier: Apache-2.0 */
/* An environment and arguments of a megabyte, attributes that are none, in processes that keep coming. */
#include "trick.h"

int main(int argc, char **argv) {
	if (argc > 3) {
		spin(5000000);
		return 0;
	}
	seconds_left(argc, argv);
	char *large = malloc(100 << 10), *attributes = malloc(100 << 10);
	memset(large, 'x', (100 << 10) - 1);
	memcpy(large, "LARGE=", 6);
	large[(100 << 10) - 1] = 0;
	strcpy(attributes, "OTEL_RESOURCE_ATTRIBUTES=");
	char *end = attributes + strlen(attributes);
	for (unsigned i = 0; i < 2000; i++)
		end += sprintf(end, "k%u\n\x1b[31m=%%ff%%zz;v%u,=,", i, i);
	char *environment[] = {
	    large, large, large, large, attributes, "OTEL_SERVICE_NAME=\xff\xfe;\n<b>", NULL};
	char *arguments[] = {argv[0], "2", "child", large + 6, NULL};
	for (;;) {
		if (!fork()) {
			execve(argv[0], arguments, environment);
			_exit(88);
		}
		wait(NULL);
		usleep(20000);
	}
}
