/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls 64 library functions through lazily bound PLT stubs. usage: stubs [SECONDS=2]
 * Chain: main, calls, tinyNN (or the stub itself, which has no symbol of its own).
 */
#include "report.h"

#define D(n) extern uint64_t tiny##n(uint64_t x);
#define D8(n) D(n##0) D(n##1) D(n##2) D(n##3) D(n##4) D(n##5) D(n##6) D(n##7)
D8(0) D8(1) D8(2) D8(3) D8(4) D8(5) D8(6) D8(7)

#define C(n) x = tiny##n(x);
#define C8(n) C(n##0) C(n##1) C(n##2) C(n##3) C(n##4) C(n##5) C(n##6) C(n##7)
FRAME uint64_t calls(uint64_t x)
{
	for (int i = 0; i < 500; i++) {
		C8(0) C8(1) C8(2) C8(3) C8(4) C8(5) C8(6) C8(7)
	}
	return x;
}

int main(int argc, char **argv)
{
	double end = thread_cpu_seconds() + seconds_argument(argc, argv, 2);
	volatile uint64_t sink = 0;
	do
		sink += calls(sink);
	while (thread_cpu_seconds() < end);
	report("stubs", "[[\"main\",\"calls\",\"tiny00\"]]");
	return 0;
}
