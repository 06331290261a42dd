/* Reference for call frame information: what elfutils says about each address.
 * usage: cfi-oracle FILE eh|debug < addresses in hex, one a line
 * Prints for each: "none", or "signal=N;cfa=OPS;rbp=RULE;ra=RULE" where RULE is
 * "same", "undefined" or OPS, and OPS are atom:number:number2 joined by commas. */
#include <dwarf.h>
#include <elfutils/libdw.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_ops(const Dwarf_Op *ops, size_t count)
{
	for (size_t i = 0; i < count; i++)
		printf("%s%x:%ld:%ld", i ? "," : "", ops[i].atom, (long)ops[i].number,
		       (long)ops[i].number2);
}

static void print_register(Dwarf_Frame *frame, int number)
{
	Dwarf_Op memory[3], *ops;
	size_t count;
	if (dwarf_frame_register(frame, number, memory, &ops, &count) != 0)
		printf("error");
	else if (count == 0)
		printf("%s", ops == NULL ? "same" : "undefined");
	else
		print_ops(ops, count);
}

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	elf_version(EV_CURRENT);
	Elf *elf = elf_begin(open(argv[1], O_RDONLY), ELF_C_READ_MMAP, NULL);
	Dwarf_CFI *cfi = strcmp(argv[2], "eh") == 0
				 ? dwarf_getcfi_elf(elf)
				 : dwarf_getcfi(dwarf_begin_elf(elf, DWARF_C_READ, NULL));
	if (cfi == NULL) {
		fprintf(stderr, "%s\n", dwarf_errmsg(-1));
		return 1;
	}
	char line[64];
	while (fgets(line, sizeof(line), stdin)) {
		Dwarf_Frame *frame;
		if (dwarf_cfi_addrframe(cfi, strtoull(line, NULL, 16), &frame) != 0) {
			puts("none");
			continue;
		}
		Dwarf_Op *ops;
		size_t count;
		bool is_signal;
		dwarf_frame_info(frame, NULL, NULL, &is_signal);
		printf("signal=%d;cfa=", is_signal);
		if (dwarf_frame_cfa(frame, &ops, &count) != 0)
			printf("error");
		else
			print_ops(ops, count);
		printf(";rbp=");
		print_register(frame, 6);
		printf(";ra=");
		print_register(frame, 16);
		puts("");
		free(frame);
	}
	return 0;
}
