/* SPDX-License-Identifier: Apache-2.0 */
/* Names of processes and threads that break what prints them, and that change all the time. */
#include "trick.h"

static const char *const names[] = {"a;b;c", "x\ny 99", "\x1b[31mred", "\xff\xfe\xc3(",
    "\xe2\x80\xae"
    "gpj.exe",
    "", "{\"json\":1}", "<script>", "%s%n%x", "\r\rhidden",
    "\xf0\x9f\x92\xa9\xf0\x9f\x92\xa9\xf0\x9f\x92\xa9", "' OR 1=1--"};
#define COUNT (sizeof(names) / sizeof(names[0]))

static void *changing(void *argument) {
	for (unsigned long i = (unsigned long)argument;; i++) {
		prctl(PR_SET_NAME, names[i % COUNT]);
		spin(200000);
	}
	return NULL;
}

int main(int argc, char **argv) {
	unsigned seconds = seconds_left(argc, argv);
	if (argc > 2) {
		pthread_t thread;
		for (unsigned long i = 0; i < 4; i++)
			pthread_create(&thread, NULL, changing, (void *)i);
		changing(NULL);
	}
	static char bytes[1 << 20];
	int fd = open("/proc/self/exe", O_RDONLY),
	    to = open("odd;name\nwith \x1b[31m\xff", O_CREAT | O_WRONLY, 0755);
	ssize_t length = read(fd, bytes, sizeof(bytes));
	if (to < 0 || write(to, bytes, (size_t)length) != length)
		return 82;
	close(fd);
	close(to);
	char left[16];
	snprintf(left, sizeof(left), "%u", seconds);
	execl("odd;name\nwith \x1b[31m\xff", "\x1b[2J;\n", left, "on", (char *)NULL);
	return 83;
}
