/* SPDX-License-Identifier: Apache-2.0 */
/* Code at a known place without a map of its own: others write one for it, and it has no name. */
#include "trick.h"

int main(int argc, char **argv) {
	seconds_left(argc, argv);
	unsigned char *code = code_pages((void *)0x200000000000ul, 1);
	for (;;) {
		run_code(code, 1000000);
		usleep(5000);
	}
}
