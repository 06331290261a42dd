/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A handler that burns CPU on top of an interrupted loop, with and without an
 * alternate stack. usage: signals [SECONDS=2 [ALTSTACK=0]]
 * Chains: main, interrupted and main, interrupted, <signal frame>, on_alarm, handle.
 */
#include "report.h"
#include <signal.h>
#include <sys/time.h>

static volatile uint64_t sink;

FRAME void handle(int rounds)
{
	sink = mix(sink, rounds);
	sink++;
}

static FRAME void on_alarm(int number)
{
	volatile char pad[72];
	pad[0] = (char)number;
	handle(1500000);
	sink += (uint64_t)pad[0];
}

FRAME void interrupted(double end)
{
	do
		sink ^= mix(7, 100000);
	while (thread_cpu_seconds() < end);
	sink++;
}

int main(int argc, char **argv)
{
	double seconds = seconds_argument(argc, argv, 2);
	int alternate = argc > 2 && atoi(argv[2]);
	struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
	if (alternate) {
		stack_t stack = {.ss_sp = malloc(1 << 16), .ss_size = 1 << 16};
		sigaltstack(&stack, NULL);
		action.sa_flags |= SA_ONSTACK;
	}
	sigaction(SIGALRM, &action, NULL);
	struct itimerval every = {{0, 5000}, {0, 5000}};
	setitimer(ITIMER_REAL, &every, NULL);
	interrupted(thread_cpu_seconds() + seconds);
	struct itimerval never = {{0, 0}, {0, 0}};
	setitimer(ITIMER_REAL, &never, NULL);
	report("signals", "[[\"main\",\"interrupted\"],[\"main\",\"interrupted\",\"<signal>\",\"on_alarm\",\"handle\"]]");
	return 0;
}
