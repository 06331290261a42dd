/* SPDX-License-Identifier: Apache-2.0 */
/* What the compile loop compiles: 64 functions with loops and a switch each. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define F(n)                                                             \
	double step##n(const double *values, int count)                  \
	{                                                                \
		double sum = 0;                                          \
		for (int i = 0; i < count; i++) {                        \
			switch ((i * 1##n) % 6) {                        \
			case 0: sum += sin(values[i]); break;            \
			case 1: sum *= 1.0 + 1.0 / (1##n + i); break;    \
			case 4: sum -= sqrt(fabs(values[i])); break;     \
			default: sum += values[(i * 1##n) % count];      \
			}                                                \
		}                                                        \
		return sum;                                              \
	}
#define F8(n) F(n##0) F(n##1) F(n##2) F(n##3) F(n##4) F(n##5) F(n##6) F(n##7)
F8(0) F8(1) F8(2) F8(3) F8(4) F8(5) F8(6) F8(7)
