/* SPDX-License-Identifier: Apache-2.0 */
/* 64 functions that do next to nothing, so that the time goes to the PLT stubs of their caller. */
#include <stdint.h>
#define F(n) __attribute__((noipa)) uint64_t tiny##n(uint64_t x) { return x + 1##n; }
#define F8(n) F(n##0) F(n##1) F(n##2) F(n##3) F(n##4) F(n##5) F(n##6) F(n##7)
F8(0) F8(1) F8(2) F8(3) F8(4) F8(5) F8(6) F8(7)
