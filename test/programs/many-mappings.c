/* SPDX-License-Identifier: Apache-2.0 */
/*
 * More executable mappings than anybody needs. usage: many-mappings [MAPPINGS=40000 [REMAPS=0]]
 * Every other page is executable, so that no two become one mapping. Runs code in
 * all of them by turns until it is killed; REMAPS > 0 maps that many of them anew after
 * each turn. Says "ready" once all is mapped.
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE 4096

/* push rbp; mov rbp, rsp; mov ecx, 20000; 1: dec ecx; jnz 1b; pop rbp; ret */
static const uint8_t code[] = {
    0x55, 0x48, 0x89, 0xe5, 0xb9, 0x20, 0x4e, 0, 0, 0xff, 0xc9, 0x75, 0xfc, 0x5d, 0xc3};

static void place(uint8_t *page)
{
	int rw = PROT_READ | PROT_WRITE;
	if (mmap(page, PAGE, rw, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
		exit(1);
	memcpy(page, code, sizeof(code));
	if (mprotect(page, PAGE, PROT_READ | PROT_EXEC))
		exit(1);
}

int main(int argc, char **argv)
{
	long count = argc > 1 ? atol(argv[1]) : 40000;
	long remaps = argc > 2 ? atol(argv[2]) : 0;
	/* Those between stay without any right: one mapping for each gap is half of the limit. */
	uint8_t *pages =
	    mmap(NULL, 2 * count * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (pages == MAP_FAILED)
		return 1;
	long placed = 0;
	for (; placed < count; placed++) {
		uint8_t *page = pages + 2 * placed * PAGE;
		if (mprotect(page, PAGE, PROT_READ | PROT_WRITE))
			break; /* vm.max_map_count */
		memcpy(page, code, sizeof(code));
		if (mprotect(page, PAGE, PROT_READ | PROT_EXEC))
			break;
	}
	printf("ready %ld\n", placed);
	fflush(stdout);
	for (;;) {
		for (long i = 0; i < placed; i++)
			((void (*)(void))(pages + 2 * i * PAGE))();
		for (long i = 0; i < remaps && i < placed; i++)
			place(pages + 2 * i * PAGE);
	}
}
