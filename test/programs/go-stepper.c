/* Runs a program under ptrace from one function of its first thread to another,
 * one instruction at a time, and keeps the truth about callers in shadow stacks:
 * calls push, returns pop, goroutine switches (mcall, morestack, gogo) change
 * the stack. Needs no unwinding and no symbols but the addresses in argv:
 *
 *   go-stepper OUT BEGIN END MCALL MCALL_END MORESTACK MORESTACK_END GOGO GOGO_END
 *       SYSTEMSTACK SYSTEMSTACK_END MAXSTEPS PROGRAM ARGS...
 *
 * Addresses are link-time ones of a position-dependent executable. OUT gets one
 * record of 8 little-endian u64 per instruction: pc, rsp, rbp, address of the
 * slot that holds the return address, return address, rbp at the call, the word
 * under the slot, the word at rbp + 8.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_DEPTH 4096
#define MAX_STACKS 256

struct frame { uint64_t slot, ret, rbp; };
struct stack { uint64_t g, sp; int depth; struct frame frames[MAX_DEPTH]; };

static struct stack *stacks;
static struct stack now;
static int memory;
static pid_t child;

static uint64_t word(uint64_t address) {
	uint64_t value = 0;
	if (pread(memory, &value, 8, (off_t)address) != 8) return 0;
	return value;
}

static void save(uint64_t g, uint64_t sp) {
	for (int i = 0; i < MAX_STACKS; i++)
		if (!stacks[i].g || stacks[i].g == g) {
			memcpy(&stacks[i], &now, sizeof(now));
			stacks[i].g = g;
			stacks[i].sp = sp;
			return;
		}
}

/* The goroutine's stack may have been copied: everything on it moved by the same distance. */
static void resume(uint64_t g, uint64_t sp) {
	now.depth = 0;
	for (int i = 0; i < MAX_STACKS && stacks[i].g; i++) {
		if (stacks[i].g != g) continue;
		memcpy(&now, &stacks[i], sizeof(now));
		uint64_t moved = sp - stacks[i].sp;
		/* After recover() it goes on in an outer frame of the same stack. */
		if (now.depth && sp > stacks[i].sp && sp <= now.frames[0].slot) {
			moved = 0;
			while (now.depth && now.frames[now.depth - 1].slot < sp) now.depth--;
		}
		for (int k = 0; moved && k < now.depth; k++) {
			/* C frames of callbacks in between are on another stack and stay. */
			if (now.frames[k].slot - stacks[i].sp < (1 << 20)) now.frames[k].slot += moved;
			if (now.frames[k].rbp - stacks[i].sp < (1 << 20)) now.frames[k].rbp += moved;
		}
		stacks[i].g = 1; /* used: a goroutine that died must not be taken for a new one */
		return;
	}
}

int main(int argc, char **argv) {
	if (argc < 14) return 2;
	FILE *out = fopen(argv[1], "wb");
	uint64_t a[11];
	for (int i = 0; i < 11; i++) a[i] = strtoull(argv[2 + i], 0, 0);
	uint64_t begin = a[0], end = a[1], max = a[10];
	stacks = calloc(MAX_STACKS, sizeof(*stacks));
	child = fork();
	if (!child) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		int null = open("/dev/null", O_WRONLY);
		dup2(null, 1);
		execv(argv[13], argv + 13);
		_exit(127);
	}
	int status;
	waitpid(child, &status, 0);
	ptrace(PTRACE_SETOPTIONS, child, 0, PTRACE_O_EXITKILL);
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/mem", child);
	memory = open(path, O_RDWR);
	uint64_t old = word(begin), trap = (old & ~0xffULL) | 0xcc;
	if (pwrite(memory, &trap, 8, (off_t)begin) != 8) return 3;
	for (;;) {
		ptrace(PTRACE_CONT, child, 0, WIFSTOPPED(status) && WSTOPSIG(status) != SIGTRAP ? WSTOPSIG(status) : 0);
		waitpid(child, &status, __WALL);
		if (!WIFSTOPPED(status)) return 4;
		if (WSTOPSIG(status) == SIGTRAP) break;
	}
	pwrite(memory, &old, 8, (off_t)begin);
	struct user_regs_struct r;
	ptrace(PTRACE_GETREGS, child, 0, &r);
	r.rip = begin;
	ptrace(PTRACE_SETREGS, child, 0, &r);
	now.frames[now.depth++] = (struct frame){r.rsp, word(r.rsp), r.rbp};
	uint64_t steps = 0;
	for (; steps < max; steps++) {
		uint64_t pc = r.rip, sp = r.rsp, bp = r.rbp;
		if (pc == end) break;
		uint8_t code[16] = {0};
		pread(memory, code, 16, (off_t)pc);
		if (now.depth) {
			struct frame *f = &now.frames[now.depth - 1];
			uint64_t record[8] = {pc, sp, bp, f->slot, f->ret, f->rbp, word(f->slot - 8), word(bp + 8)};
			fwrite(record, 8, 8, out);
		}
		/* mcall and morestack save the goroutine on entry, before the switch. */
		if ((pc == a[2] || pc == a[4]) && now.depth) {
			struct frame top = now.frames[--now.depth];
			save(r.r14, sp + 8);
			now.frames[now.depth++] = top;
		}
		int in_gogo = pc >= a[6] && pc < a[7];
		do {
			if (ptrace(PTRACE_SINGLESTEP, child, 0, WIFSTOPPED(status) && WSTOPSIG(status) != SIGTRAP && WSTOPSIG(status) != SIGSTOP && WSTOPSIG(status) != SIGURG ? WSTOPSIG(status) : 0)) goto done;
			if (waitpid(child, &status, __WALL) != child || !WIFSTOPPED(status)) goto done;
		} while (WSTOPSIG(status) == SIGURG);
		if (WSTOPSIG(status) != SIGTRAP) goto done;
		if (ptrace(PTRACE_GETREGS, child, 0, &r)) goto done;
		int at = 0;
		while (code[at] == 0x66 || (code[at] & 0xf0) == 0x40 || code[at] == 0xf2 || code[at] == 0xf3) at++;
		int is_call = code[at] == 0xe8 || (code[at] == 0xff && ((code[at + 1] >> 3) & 7) == 2);
		int is_ret = code[at] == 0xc3;
		int is_jump = code[at] == 0xff && ((code[at + 1] >> 3) & 7) == 4;
		if (is_call && r.rsp == sp - 8 && now.depth < MAX_DEPTH) {
			now.frames[now.depth++] = (struct frame){r.rsp, word(r.rsp), bp};
		} else if (is_ret && now.depth) {
			now.depth--;
		} else if (is_jump && in_gogo && (r.rip < a[6] || r.rip >= a[7])) {
			resume(r.r14, r.rsp);
		}
	}
done:
	fprintf(stderr, "%lu steps\n", (unsigned long)steps);
	fclose(out);
	kill(child, SIGKILL);
	return 0;
}
