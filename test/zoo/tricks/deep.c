/* SPDX-License-Identifier: Apache-2.0 */
/* Stacks of 1 to 10,000 frames whose depth always changes. */
#include "trick.h"

FRAME static uint64_t down(unsigned depth, uint64_t x) {
	volatile char room[64];
	room[0] = (char)x;
	if (depth == 0)
		spin(20000);
	else
		x += down(depth - 1, x ^ depth);
	return x + (uint64_t)room[0];
}

int main(int argc, char **argv) {
	seconds_left(argc, argv);
	for (unsigned round = 0;; round++)
		sink += down(round * 7919 % 10000, round);
}
