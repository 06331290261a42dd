/* SPDX-License-Identifier: Apache-2.0 */
/* usage: pull SECONDS PORT: 64 clients without the page's token that ask for the largest profile all the
 * time, some without reading the answer. */
#include "trick.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

static int port;

static void *client(void *argument) {
	static const char *const paths[] = {
	    "/api/profile.pprof", "/api/profile.json", "/api/profile.otlp", "/api/summary"};
	uintptr_t which = (uintptr_t)argument;
	char request[256], answer[65536];
	snprintf(request, sizeof(request),
	    "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: close\r\n\r\n", paths[which % 4], port);
	for (;;) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		struct sockaddr_in to = {.sin_family = AF_INET,
		    .sin_port = htons((uint16_t)port),
		    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
		if (fd >= 0 && !connect(fd, (struct sockaddr *)&to, sizeof(to)) &&
		    send(fd, request, strlen(request), MSG_NOSIGNAL) > 0) {
			if (which % 8 == 7)
				sleep(2);
			while (recv(fd, answer, sizeof(answer), 0) > 0)
				;
		}
		close(fd);
		usleep(20000);
	}
	return NULL;
}

int main(int argc, char **argv) {
	seconds_left(argc, argv);
	port = argc > 2 ? atoi(argv[2]) : 7099;
	pthread_t thread;
	for (uintptr_t i = 0; i < 63; i++)
		pthread_create(&thread, NULL, client, (void *)i);
	client((void *)63);
}
