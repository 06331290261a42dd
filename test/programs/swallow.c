/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Spends about half of its CPU time inside a BPF program of its own, a slow one on
 * a tracepoint, where the kernel leaves out all sampling by BPF.
 *   swallow SECONDS FILE [bare]
 * Ends after SECONDS of CPU time and writes the share of it that system calls took to
 * FILE; `bare` makes the same calls without the program.
 */
#define _GNU_SOURCE
#include <bpf/bpf.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define COPIED_BYTES (1 << 20)

static void must(int ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(1);
}

static double cpu_seconds(void)
{
	struct timespec now;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

/* tracefs in a mount namespace of our own: the machine's mounts stay as they are. */
static unsigned long tracepoint_id(void)
{
	char folder[] = "/tmp/swallow-XXXXXX", path[128], text[32] = "";
	must(mkdtemp(folder) && !unshare(CLONE_NEWNS), folder);
	must(!mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL), "make mounts private");
	must(!mount("tracefs", folder, "tracefs", 0, NULL), "mount tracefs");
	snprintf(path, sizeof(path), "%s/events/syscalls/sys_enter_getppid/id", folder);
	int file = open(path, O_RDONLY);
	must(file >= 0 && read(file, text, sizeof(text) - 1) > 0, path);
	close(file);
	umount(folder);
	rmdir(folder);
	return strtoul(text, NULL, 10);
}

/* Copies a megabyte onto itself. */
static int slow_program(void)
{
	int map = bpf_map_create(BPF_MAP_TYPE_ARRAY, "slow", 4, COPIED_BYTES, 1, NULL);
	must(map >= 0, "create a map");
	struct bpf_insn code[] = {
	    {.code = BPF_ST | BPF_MEM | BPF_W, .dst_reg = BPF_REG_10, .off = -4},
	    {.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_2, .src_reg = BPF_REG_10},
	    {.code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = BPF_REG_2, .imm = -4},
	    {.code = BPF_LD | BPF_IMM | BPF_DW, .dst_reg = BPF_REG_1, .src_reg = BPF_PSEUDO_MAP_FD, .imm = map},
	    {0},
	    {.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_map_lookup_elem},
	    {.code = BPF_JMP | BPF_JEQ | BPF_K, .dst_reg = BPF_REG_0, .off = 4},
	    {.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_1, .src_reg = BPF_REG_0},
	    {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_2, .imm = COPIED_BYTES},
	    {.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_3, .src_reg = BPF_REG_0},
	    {.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_probe_read_kernel},
	    {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0},
	    {.code = BPF_JMP | BPF_EXIT},
	};
	int program = bpf_prog_load(BPF_PROG_TYPE_TRACEPOINT, "slow", "GPL", code, sizeof(code) / sizeof(*code), NULL);
	must(program >= 0, "load a program");
	return program;
}

int main(int argc, char **argv)
{
	if (argc < 3)
		return 2;
	if (argc < 4) {
		struct perf_event_attr attr = {.type = PERF_TYPE_TRACEPOINT, .size = sizeof(attr), .config = tracepoint_id()};
		int event = (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
		must(event >= 0 && !ioctl(event, PERF_EVENT_IOC_SET_BPF, slow_program()), "attach a program");
	}
	double calls = 0, seconds = atof(argv[1]), start = cpu_seconds(), now = start;
	while (now - start < seconds) {
		double before = now;
		syscall(SYS_getppid);
		double after = cpu_seconds();
		calls += after - before;
		/* Of no fixed length: else ticks could fall on the same part of every tenth round, and have. */
		double rest = (after - before) * 2 * drand48();
		do
			now = cpu_seconds();
		while (now - after < rest);
	}
	FILE *file = fopen(argv[2], "w");
	must(file && fprintf(file, "%f\n", calls / (now - start)) > 0 && !fclose(file), argv[2]);
	return 0;
}
