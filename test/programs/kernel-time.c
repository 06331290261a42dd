/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nearly all time inside one system call, so that samples hit kernel code.
 * usage: kernel-time [SECONDS=2]
 * Chain: main, fetch, fill, then libc's read and the kernel.
 */
#include "report.h"
#include <fcntl.h>

static char buffer[1 << 20];

FRAME uint64_t fill(int fd)
{
	volatile char pad[72];
	pad[0] = (char)fd;
	ssize_t got = read(fd, buffer, sizeof(buffer));
	return (uint64_t)got + (uint64_t)pad[0];
}

FRAME uint64_t fetch(int fd, double end)
{
	uint64_t total = 0;
	do
		total += fill(fd);
	while (thread_cpu_seconds() < end);
	return total;
}

int main(int argc, char **argv)
{
	double end = thread_cpu_seconds() + seconds_argument(argc, argv, 2);
	int fd = open("/dev/zero", O_RDONLY);
	if (fd < 0)
		return 1;
	volatile uint64_t sink = fetch(fd, end);
	(void)sink;
	report("kernel-time", "[[\"main\",\"fetch\",\"fill\"]]");
	return 0;
}
