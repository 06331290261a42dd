/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reference unwinder: elfutils' libdw on recorded registers and stack bytes.
 *
 * Reads from stdin, numbers in hex but for ids:
 *   process ID                       forgets all mappings
 *   map START END OFFSET PATH        an executable mapping ([vdso]: give it a file with its image)
 *   sample ID
 *   registers R0 .. R16              DWARF order, R16 = rip
 *   stack BASE BYTES                 bytes in hex; unwinds the sample
 * Writes for each sample:
 *   ID ADDRESS[!] ...  REASON        leaf first; ! = exact pc, else return address
 * REASON: `end` (the rules say the stack ends here), `short` (the copy of the
 * stack ends here), `no_rules` (the last address is covered by no CFI: libdw
 * would guess from here on), `limit`, or `error:TEXT`.
 *
 * Build: cc -O2 -o unwind unwind.c -ldw -lelf
 */
#include <elfutils/libdwfl.h>
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REGISTERS 17
#define MAX_FRAMES 4096
#define MAX_LINE (1 << 20)
#define MAX_MAPS 65536

struct mapping {
	uint64_t start, end, offset;
	char *path;
};

struct sample {
	Dwarf_Word registers[REGISTERS];
	uint64_t base;
	size_t size;
	unsigned char bytes[MAX_LINE / 2];
};

static struct sample sample;
static struct mapping maps[MAX_MAPS];
static int map_count;
static Dwfl *session;

static int frame_count;
static bool read_failed, no_rules;
static Dwarf_Addr frames[MAX_FRAMES];
static bool exact[MAX_FRAMES];

static pid_t next_thread(Dwfl *dwfl, void *argument, void **thread_argument)
{
	(void)dwfl;
	if (*thread_argument)
		return 0;
	*thread_argument = argument;
	return 1;
}

static bool get_thread(Dwfl *dwfl, pid_t tid, void *argument, void **thread_argument)
{
	(void)dwfl;
	(void)tid;
	*thread_argument = argument;
	return true;
}

static bool set_registers(Dwfl_Thread *thread, void *argument)
{
	(void)argument;
	return dwfl_thread_state_registers(thread, 0, REGISTERS, sample.registers);
}

/* Only what was copied exists: reading elsewhere ends the stack, as it does for us. */
static bool read_memory(Dwfl *dwfl, Dwarf_Addr address, Dwarf_Word *result, void *argument)
{
	(void)dwfl;
	(void)argument;
	if (address < sample.base || address + sizeof(*result) > sample.base + sample.size ||
	    address + sizeof(*result) < address) {
		read_failed = true; /* libdw calls this an ordinary end */
		return false;
	}
	memcpy(result, sample.bytes + (address - sample.base), sizeof(*result));
	return true;
}

static bool has_rules(Dwarf_Addr address)
{
	Dwarf_Addr bias;
	Dwarf_Frame *rules = NULL;
	Dwfl_Module *module = dwfl_addrmodule(session, address);
	if (!module)
		return false;
	Dwarf_CFI *cfi = dwfl_module_eh_cfi(module, &bias);
	if (!cfi || dwarf_cfi_addrframe(cfi, address - bias, &rules) != 0) {
		cfi = dwfl_module_dwarf_cfi(module, &bias);
		if (!cfi || dwarf_cfi_addrframe(cfi, address - bias, &rules) != 0)
			return false;
	}
	free(rules);
	return true;
}

static int on_frame(Dwfl_Frame *frame, void *argument)
{
	(void)argument;
	if (frame_count == MAX_FRAMES)
		return DWARF_CB_ABORT;
	if (!dwfl_frame_pc(frame, &frames[frame_count], &exact[frame_count]))
		return DWARF_CB_ABORT;
	frame_count++;
	no_rules = !has_rules(frames[frame_count - 1] - (exact[frame_count - 1] ? 0 : 1));
	return no_rules ? DWARF_CB_ABORT : DWARF_CB_OK;
}

static int no_debuginfo(Dwfl_Module *module, void **data, const char *name, Dwarf_Addr base, const char *file,
			const char *link, GElf_Word crc, char **found)
{
	(void)module, (void)data, (void)name, (void)base, (void)file, (void)link, (void)crc, (void)found;
	return -1;
}

static const Dwfl_Callbacks callbacks = {.find_elf = dwfl_build_id_find_elf, .find_debuginfo = no_debuginfo};
static const Dwfl_Thread_Callbacks thread_callbacks = {
	.next_thread = next_thread,
	.get_thread = get_thread,
	.memory_read = read_memory,
	.set_initial_registers = set_registers,
};

/* Where virtual address 0 of the file lies, from one of its executable mappings; false if it is no ELF file. */
static bool bias_of(const struct mapping *map, uint64_t *bias)
{
	bool found = false;
	int file = open(map->path, O_RDONLY | O_CLOEXEC);
	if (file < 0)
		return false;
	Elf *elf = elf_begin(file, ELF_C_READ, NULL);
	size_t count = 0;
	if (elf && elf_kind(elf) == ELF_K_ELF && elf_getphdrnum(elf, &count) == 0) {
		for (size_t i = 0; i < count && !found; i++) {
			GElf_Phdr header;
			if (!gelf_getphdr(elf, (int)i, &header) || header.p_type != PT_LOAD || !(header.p_flags & PF_X))
				continue;
			uint64_t first = header.p_offset & ~4095ULL;
			if (map->offset < first || map->offset >= header.p_offset + header.p_filesz)
				continue;
			*bias = map->start - (map->offset - header.p_offset + header.p_vaddr);
			found = true;
		}
	}
	elf_end(elf);
	close(file);
	return found;
}

static void open_session(void)
{
	session = dwfl_begin(&callbacks);
	dwfl_report_begin(session);
	for (int i = 0; i < map_count; i++) {
		uint64_t bias;
		bool seen = false;
		if (maps[i].path[0] != '/' || !bias_of(&maps[i], &bias))
			continue;
		/* a file with several executable segments is reported once per place it was loaded at */
		for (int j = 0; j < i && !seen; j++) {
			uint64_t other;
			seen = !strcmp(maps[j].path, maps[i].path) && bias_of(&maps[j], &other) && other == bias;
		}
		if (!seen && !dwfl_report_elf(session, maps[i].path, maps[i].path, -1, bias, true))
			fprintf(stderr, "%s: %s\n", maps[i].path, dwfl_errmsg(-1));
	}
	dwfl_report_end(session, NULL, NULL);
	Elf *any = NULL;
	if (!dwfl_attach_state(session, any, 1, &thread_callbacks, &sample))
		fprintf(stderr, "attach: %s\n", dwfl_errmsg(-1));
}

static void close_session(void)
{
	if (session)
		dwfl_end(session);
	session = NULL;
	for (int i = 0; i < map_count; i++)
		free(maps[i].path);
	map_count = 0;
}

static int hex_digit(int c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void unwind(const char *id)
{
	if (!session)
		open_session();
	frame_count = 0;
	read_failed = no_rules = false;
	int result = dwfl_getthread_frames(session, 1, on_frame, NULL);
	printf("%s", id);
	for (int i = 0; i < frame_count; i++)
		printf(" %" PRIx64 "%s", frames[i], exact[i] ? "!" : "");
	if (no_rules)
		printf(" no_rules\n");
	else if (read_failed)
		printf(" short\n");
	else if (result == 0)
		printf(" end\n");
	else if (result > 0)
		printf(" limit\n");
	else {
		char text[256];
		snprintf(text, sizeof(text), "%s", dwfl_errmsg(-1));
		for (char *at = text; *at; at++)
			if (*at == ' ' || *at == '\n')
				*at = '_';
		printf(" error:%s\n", text);
	}
}

int main(void)
{
	static char line[MAX_LINE], id[64];
	elf_version(EV_CURRENT);
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = 0;
		if (!strncmp(line, "process ", 8)) {
			close_session();
		} else if (!strncmp(line, "map ", 4) && map_count < MAX_MAPS) {
			struct mapping *map = &maps[map_count];
			int path = 0;
			if (sscanf(line + 4, "%" SCNx64 " %" SCNx64 " %" SCNx64 " %n", &map->start, &map->end,
				   &map->offset, &path) == 3)
				map->path = strdup(line + 4 + path), map_count++;
		} else if (!strncmp(line, "sample ", 7)) {
			snprintf(id, sizeof(id), "%.60s", line + 7);
		} else if (!strncmp(line, "registers ", 10)) {
			char *at = line + 10;
			for (int i = 0; i < REGISTERS; i++)
				sample.registers[i] = strtoull(at, &at, 16);
		} else if (!strncmp(line, "stack ", 6)) {
			char *at;
			sample.base = strtoull(line + 6, &at, 16);
			sample.size = 0;
			at += *at == ' ';
			while (hex_digit(at[0]) >= 0 && hex_digit(at[1]) >= 0) {
				sample.bytes[sample.size++] = (unsigned char)(hex_digit(at[0]) << 4 | hex_digit(at[1]));
				at += 2;
			}
			unwind(id);
		}
	}
	close_session();
	return 0;
}
