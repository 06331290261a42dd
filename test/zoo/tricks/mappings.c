/* SPDX-License-Identifier: Apache-2.0 */
/* 40,000 executable mappings whose protections alternate, and alternate back: tables for one process only. */
#include "trick.h"

#define PAGES 40000ul

int main(int argc, char **argv) {
	seconds_left(argc, argv);
	unsigned char *code = code_pages(NULL, PAGES);
	for (unsigned long round = 0;; round++) {
		for (unsigned long page = round % 2; page < PAGES; page += 2) {
			int more = page / 2 % 2 ? PROT_WRITE : 0;
			mprotect(code + page * PAGE, PAGE, PROT_READ | PROT_EXEC | more);
			if (page % 512 < 2)
				run_code(code + page * PAGE, 100000);
		}
	}
}
