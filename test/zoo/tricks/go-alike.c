/* SPDX-License-Identifier: Apache-2.0 */
/* Looks like a Go program: sections and a function table that lies about all its sizes. */
#include "trick.h"

struct table {
	uint32_t magic;
	uint8_t zero[2], quantum, pointer;
	uint64_t functions, files, text, names, units, file_table, pcs, entries;
	uint32_t rest[65536];
};

__attribute__((section(".gopclntab"), used, aligned(32))) static struct table table = {0xfffffff1, {0, 0}, 1,
    8, 0xfffffff0ul, 0xffffffffffff, 0x1000, 0x50, 0x60, 0x70, 0x80, 0x90, {0xffffffff, 0, 1, 0x7fffffff}};
__attribute__((section(".go.buildinfo"), used, aligned(16))) static char info[64] =
    "\xff Go buildinf:\x08\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x08go1.99.9\xff\xff\xff\xff\xff\xff\x7f";
__attribute__((section(".note.go.buildid"), used, aligned(4))) static const uint32_t note[] = {
    4, 0x7fffffff, 4, 0x6f47};
void *runtime_g;

int main(int argc, char **argv) {
	seconds_left(argc, argv);
	for (unsigned i = 0; i < 65536; i++)
		((volatile uint32_t *)table.rest)[i] = i * 2654435761u;
	for (;;)
		spin(1000000);
}
