/*
 * Publishes an OpenTelemetry process context (OTEP 4719), well or badly, by the
 * commands in its arguments, one after the other; payloads are hexadecimal:
 *
 *   memfd HEX | anon HEX    publish, in a memfd or in anonymous memory
 *   update HEX              publish another payload in the same place
 *   loop HEX HEX            update with one and the other for ever
 *   flap HEX                the same, never still for long enough to be read
 *   broken KIND HEX         publish with an error: see broken()
 *   withdraw                unmap it
 *   fork                    goes on in a child; the parent burns CPU
 *   exec PROGRAM ...        becomes another program
 *   SECONDS                 burns CPU for so long, such as 0.5
 *   say WORD                prints the word
 *   stay                    burns CPU for ever
 *
 * For ever is five minutes: whoever started it may have been killed.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif
#define PAGE 4096
#define LIFE_SECONDS 300

struct header {
	char signature[8];
	uint32_t version;
	uint32_t size;
	volatile uint64_t published_at;
	const void *payload;
};

static struct header *header;
static volatile uint64_t sink;

static uint64_t boot_ns(void) {
	struct timespec now;
	clock_gettime(CLOCK_BOOTTIME, &now);
	return now.tv_sec * 1000000000ull + now.tv_nsec;
}

__attribute__((noinline)) void burn(uint64_t until) {
	while (boot_ns() < until)
		for (int i = 0; i < 100000; i++)
			sink += i;
}

static unsigned char *bytes_of(const char *hex, uint32_t *size) {
	*size = strlen(hex) / 2;
	unsigned char *bytes = malloc(*size + 1);
	for (uint32_t i = 0; i < *size; i++)
		sscanf(hex + 2 * i, "%2hhx", &bytes[i]);
	return bytes;
}

static void name_it(void) {
	prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, header, PAGE, "OTEL_CTX");
}

static void place(int with_memfd) {
	int fd = -1;
	if (with_memfd) {
		fd = memfd_create("OTEL_CTX", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		if (fd < 0 || ftruncate(fd, PAGE))
			exit(2);
	}
	header = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | (fd < 0 ? MAP_ANONYMOUS : 0),
	              fd, 0);
	if (header == MAP_FAILED || madvise(header, PAGE, MADV_DONTFORK))
		exit(2);
	if (fd >= 0)
		close(fd);
	memcpy(header->signature, "OTEL_CTX", 8);
	header->version = 2;
}

static void write_it(const void *payload, uint32_t size) {
	uint64_t before = header->published_at;
	header->published_at = 0;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	header->payload = payload;
	header->size = size;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	uint64_t now = boot_ns();
	header->published_at = now > before ? now : before + 1;
}

static void publish(int with_memfd, const char *hex) {
	uint32_t size;
	const void *payload = bytes_of(hex, &size);
	place(with_memfd);
	write_it(payload, size);
	name_it();
}

static void broken(const char *kind, const char *hex) {
	publish(1, hex);
	if (!strcmp(kind, "signature"))
		header->signature[0] = 'X';
	else if (!strcmp(kind, "version"))
		header->version = 1;
	else if (!strcmp(kind, "size"))
		header->size = UINT32_MAX;
	else if (!strcmp(kind, "large")) {
		/* More than can be read there. */
		header->payload = mmap(NULL, 2 * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		mprotect((char *)header->payload + PAGE, PAGE, PROT_NONE);
		header->size = PAGE + 1;
	}
	else if (!strcmp(kind, "unmapped"))
		header->payload = (void *)8;
	else if (!strcmp(kind, "kernel"))
		header->payload = (void *)~0xfffull;
	else if (!strcmp(kind, "unwritten"))
		header->published_at = 0;
	else if (!strcmp(kind, "file")) {
		int fd = open("/proc/self/exe", O_RDONLY);
		header->payload = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
	} else
		exit(2);
	name_it();
}

int main(int argc, char **argv) {
	alarm(LIFE_SECONDS);
	for (int i = 1; i < argc; i++) {
		const char *what = argv[i];
		uint32_t size;
		if (!strcmp(what, "memfd") || !strcmp(what, "anon")) {
			publish(*what == 'm', argv[++i]);
		} else if (!strcmp(what, "update")) {
			const void *payload = bytes_of(argv[++i], &size);
			write_it(payload, size);
			name_it();
		} else if (!strcmp(what, "loop")) {
			uint32_t sizes[2];
			const void *payloads[2] = {bytes_of(argv[i + 1], &sizes[0]), bytes_of(argv[i + 2], &sizes[1])};
			for (uint32_t n = 0;; n++) {
				write_it(payloads[n & 1], sizes[n & 1]);
				if (n % 1024 == 0)
					name_it();
			}
		} else if (!strcmp(what, "flap")) {
			publish(1, argv[++i]);
			for (;;)
				header->published_at++;
		} else if (!strcmp(what, "broken")) {
			broken(argv[i + 1], argv[i + 2]);
			i += 2;
		} else if (!strcmp(what, "withdraw")) {
			munmap(header, PAGE);
		} else if (!strcmp(what, "fork")) {
			if (fork())
				burn(UINT64_MAX);
			alarm(LIFE_SECONDS);
		} else if (!strcmp(what, "exec")) {
			execv(argv[i + 1], argv + i + 1);
			exit(2);
		} else if (*what >= '0' && *what <= '9') {
			burn(boot_ns() + atof(what) * 1e9);
		} else if (!strcmp(what, "say")) {
			printf("%s %d\n", argv[++i], getpid());
			fflush(stdout);
		} else if (!strcmp(what, "stay")) {
			burn(UINT64_MAX);
		} else {
			return 2;
		}
	}
	return 0;
}
