/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 10,000 executable mappings: the page that holds `piece` is mapped again and
 * again from the program's own file, and each copy is called in turn.
 * usage: pieces [SECONDS=2 [MAPPINGS=10000]]; chain: main, visit, piece.
 */
#include "report.h"
#include <fcntl.h>
#include <link.h>
#include <sys/mman.h>

/* Alone on its page and free of references to other addresses, so it runs anywhere. */
__attribute__((noipa, aligned(4096), section(".text.piece"))) uint64_t piece(uint64_t x, int rounds)
{
	for (int i = 0; i < rounds; i++)
		x = x * 6364136223846793005ULL + (uint64_t)i;
	return x;
}
__attribute__((noipa, aligned(4096), section(".text.piece"))) void page_end(void)
{
}

FRAME uint64_t visit(uint64_t (*function)(uint64_t, int), uint64_t x)
{
	return function(x, 2000) + 1;
}

static int own_segment(struct dl_phdr_info *info, size_t size, void *argument)
{
	(void)size;
	uintptr_t address = (uintptr_t)piece - info->dlpi_addr;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
		if (segment->p_type == PT_LOAD && address >= segment->p_vaddr &&
		    address < segment->p_vaddr + segment->p_filesz) {
			*(off_t *)argument = (off_t)(address - segment->p_vaddr + segment->p_offset);
			return 1;
		}
	}
	return 1; /* the program itself comes first */
}

int main(int argc, char **argv)
{
	double end = thread_cpu_seconds() + seconds_argument(argc, argv, 2);
	int wanted = argc > 2 ? atoi(argv[2]) : 10000;
	off_t offset = -1;
	dl_iterate_phdr(own_segment, &offset);
	int file = open("/proc/self/exe", O_RDONLY);
	uint64_t (**copies)(uint64_t, int) = calloc((size_t)wanted, sizeof(*copies));
	for (int i = 0; i < wanted; i++) {
		/* equal offsets side by side never merge into one mapping */
		void *page = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, file, offset);
		if (page == MAP_FAILED || offset < 0)
			return 1;
		copies[i] = (uint64_t(*)(uint64_t, int))page;
	}
	volatile uint64_t sink = 1;
	int next = 0;
	do {
		for (int i = 0; i < 100; i++, next = (next + 7919) % wanted)
			sink ^= visit(copies[next], sink);
	} while (thread_cpu_seconds() < end);
	report("pieces", "[[\"main\",\"visit\",\"piece\"]]");
	return 0;
}
