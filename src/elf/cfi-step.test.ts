import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { after, describe, test } from 'node:test';
import { fileOffset, textOffset } from '../units/units.ts';
import {
  RBP_AT_RBP,
  RBP_SAME,
  Rule,
  ruleDerefAdd,
  ruleDerefOffset,
  ruleKind,
  ruleOffset,
  ruleRbp,
} from '../unwind/rule.ts';
import type { ReadWord } from './cfi-step.ts';
import { type CfiRules, cfiRules } from './eh-frame.ts';
import type { ElfImage } from './image.ts';
import { compile, openImage, scratchDirectory } from './testdata/programs.ts';

const scratch = scratchDirectory();
after(() => scratch.remove());

interface Mapping {
  readonly start: bigint;
  readonly end: bigint;
  readonly offset: bigint;
  readonly file: string;
}

/** A stopped program: what it said, and its memory. */
class Captured {
  readonly registers: BigUint64Array;
  /** Return addresses by libgcc, innermost first. */
  readonly expected: readonly bigint[];
  readonly mappings: readonly Mapping[];
  readonly #memory: number;
  readonly #images = new Map<string, { image: ElfImage; rules: CfiRules }>();

  constructor(pid: number, lines: readonly string[]) {
    const numbers = (line: string): bigint[] =>
      line
        .trim()
        .split(' ')
        .map((text) => BigInt(`0x${text}`));
    this.registers = BigUint64Array.from(numbers(lines[0]!));
    this.expected = numbers(lines[1]!);
    this.mappings = readFileSync(`/proc/${pid}/maps`, 'latin1')
      .trimEnd()
      .split('\n')
      .map((line) => {
        const [range, , offset, , , file] = line.split(/ +/);
        const [start, end] = range!.split('-').map((text) => BigInt(`0x${text}`));
        return { start: start!, end: end!, offset: BigInt(`0x${offset}`), file: file ?? '' };
      });
    this.#memory = openSync(`/proc/${pid}/mem`, 'r');
  }

  readonly readWord: ReadWord = (address) => {
    const word = Buffer.alloc(8);
    if (address >= 1n << 47n) return undefined;
    try {
      return readSync(this.#memory, word, 0, 8, Number(address)) === 8
        ? word.readBigUInt64LE()
        : undefined;
    } catch {
      return undefined;
    }
  };

  locate(pc: bigint): { rules: CfiRules; offset: number } {
    const mapping = this.mappings.find(({ start, end }) => pc >= start && pc < end);
    assert.ok(mapping, `a mapping for ${pc.toString(16)}`);
    let known = this.#images.get(mapping.file);
    if (known === undefined) {
      const image = openImage(mapping.file);
      known = { image, rules: cfiRules(image)! };
      this.#images.set(mapping.file, known);
    }
    const address = known.image.offsetToAddress(
      fileOffset(Number(pc - mapping.start + mapping.offset)),
    );
    return { rules: known.rules, offset: address! - known.image.textBase };
  }

  close(): void {
    closeSync(this.#memory);
  }
}

async function capture<Result>(
  options: readonly string[],
  compiler: string,
  programArguments: readonly string[],
  use: (captured: Captured) => Result,
): Promise<Result> {
  const source = readFileSync(new URL('testdata/captured.c', import.meta.url), 'utf8');
  const path = compile(
    scratch.path,
    `captured-${compiler}${options.join('')}`,
    source,
    options,
    compiler,
  );
  const child = spawn(path, programArguments, { stdio: ['pipe', 'pipe', 'inherit'] });
  try {
    const lines: string[] = [];
    for await (const line of createInterface(child.stdout)) {
      lines.push(line);
      if (lines.length === 2) break;
    }
    const captured = new Captured(child.pid!, lines);
    try {
      return use(captured);
    } finally {
      captured.close();
    }
  } finally {
    child.kill('SIGKILL');
  }
}

/** What the kernel's rule makes of a frame: CFA and the caller's rbp; undefined for kinds without. */
function byRule(rule: number, registers: BigUint64Array, readWord: ReadWord) {
  const [rbp, rsp] = [registers[6]!, registers[7]!];
  let cfa: bigint;
  switch (ruleKind(rule)) {
    case Rule.Rsp:
      cfa = rsp + BigInt(ruleOffset(rule));
      break;
    case Rule.Rbp:
      cfa = rbp + BigInt(ruleOffset(rule));
      break;
    case Rule.RspDeref:
      cfa = readWord(rsp + BigInt(ruleDerefOffset(rule)))! + BigInt(ruleDerefAdd(rule));
      break;
    case Rule.RbpDeref:
      cfa = readWord(rbp + BigInt(ruleDerefOffset(rule)))! + BigInt(ruleDerefAdd(rule));
      break;
    default:
      return undefined;
  }
  const saved = ruleRbp(rule);
  let callerRbp: bigint | undefined = rbp;
  if (saved === RBP_AT_RBP) callerRbp = readWord(rbp);
  else if (saved !== RBP_SAME) callerRbp = readWord(cfa - BigInt(8 * saved));
  return { cfa, rbp: callerRbp };
}

/** Walks to the end and returns the return addresses and the kinds of rules met. */
function walk(captured: Captured): { addresses: bigint[]; kinds: Set<number> } {
  let registers: BigUint64Array = captured.registers;
  let isExact = true;
  const addresses: bigint[] = [];
  const kinds = new Set<number>();
  for (let depth = 0; depth < 200; depth++) {
    const pc = registers[16]!;
    const { rules, offset } = captured.locate(isExact ? pc : pc - 1n);
    let rule = -1;
    rules.rows(textOffset(offset), textOffset(offset + 1), (_, found) => {
      rule = found;
    });
    kinds.add(ruleKind(rule));
    const step = rules.step(textOffset(offset), registers, captured.readWord);
    if (step.kind === 'end') {
      assert.equal(rule, Rule.End);
      return { addresses, kinds };
    }
    assert.ok(step.kind === 'frame', step.kind === 'error' ? step.reason : '');
    const simple = byRule(rule, registers, captured.readWord);
    if (simple !== undefined) {
      assert.equal(step.registers[7], simple.cfa);
      assert.equal(step.registers[6], simple.rbp);
      assert.equal(step.registers[16], captured.readWord(simple.cfa - 8n));
    }
    ({ registers, isExact } = step);
    addresses.push(registers[16]!);
  }
  assert.fail('no end');
}

describe('a real stack is walked as libgcc walks it', () => {
  for (const [compiler, options, programArguments] of [
    ['gcc', ['-O2', '-mavx2'], []],
    ['gcc', ['-O2', '-mavx2'], ['alternate-stack']],
    ['gcc', ['-O0', '-mavx2'], ['alternate-stack']],
    ['gcc', ['-O2', '-fno-omit-frame-pointer', '-no-pie'], []],
    ['gcc', ['-O1', '-static', '-mavx2'], []],
    ['clang', ['-O2', '-mavx2'], []],
  ] as const) {
    test(`${compiler} ${options.join(' ')} ${programArguments}: qsort, segfault, handler, realigned frame`, async () => {
      await capture(options, compiler, programArguments, (captured) => {
        const { addresses, kinds } = walk(captured);
        // The first address is within the capturing function itself, at another line.
        assert.deepEqual(addresses, captured.expected.slice(1));
        assert.ok(addresses.length > 14);
        assert.ok(kinds.has(Rule.Signal));
      });
    });
  }

  test('the realigned frame was met as such', async () => {
    await capture(['-O2', '-mavx2'], 'gcc', [], (captured) => {
      assert.ok(walk(captured).kinds.has(Rule.RbpDeref));
    });
  });
});

describe('signal trampoline without call frame information', () => {
  test('musl: rows and exact step know it by its code', () => {
    const source = `
      #include <signal.h>
      static void handler(int number) { (void)number; }
      int main(void) { signal(SIGUSR1, handler); return raise(SIGUSR1); }`;
    const file = compile(scratch.path, 'musl-signal', source, ['-O1', '-static'], 'musl-gcc');
    const symbol = execFileSync('nm', [file])
      .toString()
      .match(/([0-9a-f]+) . __restore_rt/)!;
    const image = openImage(file);
    const rules = cfiRules(image)!;
    const start = Number.parseInt(symbol[1]!, 16) - image.textBase;
    for (const [from, to] of [
      [start - 1, start],
      [start - 50, start + 50],
      [start, start + 9],
      [start + 4, start + 20],
      [0, image.textSize],
    ] as const) {
      let before = -1;
      let inside = -1;
      let behind = -1;
      rules.rows(textOffset(from), textOffset(to), (offset, rule) => {
        if (offset <= start - 1) before = rule;
        if (offset <= start + 8) inside = rule;
        if (offset <= start + 9) behind = rule;
      });
      if (from <= start - 1) assert.equal(before, Rule.Signal);
      if (to > start) assert.equal(inside, Rule.Signal);
      if (to > start + 9) assert.notEqual(behind, Rule.Signal);
    }
    const registers = new BigUint64Array(17).map((_, index) => BigInt(index));
    registers[7] = 0x7000n;
    registers[16] = BigInt(start + image.textBase);
    const step = rules.step(textOffset(start - 1), registers, (address) => address - 0x7000n);
    assert.ok(step.kind === 'frame' && step.isExact);
    // The memory read back is its own distance from rsp: where each greg is in the ucontext.
    assert.deepEqual(
      [...step.registers].map(Number),
      [144, 136, 152, 128, 112, 104, 120, 160, 40, 48, 56, 64, 72, 80, 88, 96, 168],
    );
  });

  test('described as a common function: its first byte is still a return address', () => {
    const source = `
      __asm__(".text; .balign 64; nop; restorer: .cfi_startproc; mov $15, %rax; syscall;"
              ".cfi_endproc; nop; nop");
      int main(void) { return 0; }`;
    const file = compile(scratch.path, 'described', source, ['-O1']);
    const symbol = execFileSync('nm', [file])
      .toString()
      .match(/([0-9a-f]+) . restorer/)!;
    const image = openImage(file);
    const rules = cfiRules(image)!;
    const start = Number.parseInt(symbol[1]!, 16) - image.textBase;
    for (const [from, to] of [
      [start - 1, start],
      [start - 1, start + 1],
      [0, image.textSize],
    ] as const) {
      let found = -1;
      rules.rows(textOffset(from), textOffset(to), (offset, rule) => {
        if (offset <= start - 1) found = rule;
      });
      assert.equal(found, Rule.Signal);
    }
    const step = rules.step(textOffset(start - 1), new BigUint64Array(17), (address) => address);
    assert.ok(step.kind === 'frame' && step.isExact);
  });
});

describe('exact steps where no rule fits', () => {
  test('another signal frame: complex, and its caller has an exact pc', () => {
    const source = `
      __asm__(".text; .balign 64; frame: .cfi_startproc; .cfi_signal_frame; nop; nop; nop; nop;"
              ".cfi_endproc; .balign 64");
      int main(void) { return 0; }`;
    const file = compile(scratch.path, 'signal-frame', source, ['-O1']);
    const symbol = execFileSync('nm', [file])
      .toString()
      .match(/([0-9a-f]+) . frame$/m)!;
    const image = openImage(file);
    const rules = cfiRules(image)!;
    const start = Number.parseInt(symbol[1]!, 16) - image.textBase;
    const found: number[] = [];
    rules.rows(textOffset(start), textOffset(start + 4), (_, rule) => found.push(rule));
    assert.deepEqual(found, [Rule.Complex]);
    const step = rules.step(textOffset(start), new BigUint64Array(17), (address) => address + 5n);
    assert.ok(step.kind === 'frame' && step.isExact);
    assert.equal(step.registers[7], 8n);
    assert.equal(step.registers[16], 5n);
  });

  test('PLT of -fcf-protection: complex rows, and the right caller on both sides of the push', () => {
    const source = `
      #include <stdio.h>
      int main(void) { return puts("x"); }`;
    const file = compile(scratch.path, 'ibt', source, [
      '-O1',
      '-fcf-protection',
      '-Wl,-z,ibtplt',
      '-Wl,-z,lazy',
    ]);
    const image = openImage(file);
    const rules = cfiRules(image)!;
    const entry = image.section('.plt')!.address - image.textBase + 16;
    let rule = -1;
    rules.rows(textOffset(entry), textOffset(entry + 1), (_, found) => {
      rule = found;
    });
    assert.equal(rule, Rule.Complex);
    const stack = 0x7000n;
    // endbr64 is 4 bytes and push 5: from the 9th byte on there is a word more on the stack.
    for (const [distance, cfa] of [
      [0, stack + 8n],
      [8, stack + 8n],
      [9, stack + 16n],
      [15, stack + 16n],
    ] as const) {
      const registers = new BigUint64Array(17);
      registers[7] = stack;
      registers[16] = BigInt(entry + distance + image.textBase);
      const step = rules.step(textOffset(entry + distance), registers, (address) => address);
      assert.ok(step.kind === 'frame');
      assert.equal(step.registers[7], cfa);
      assert.equal(step.registers[16], cfa - 8n);
    }
  });

  test('no entry, unreadable memory and the outermost frame are told apart', () => {
    const image = openImage(compile(scratch.path, 'ends', 'int main(void) { return 0; }', []));
    const rules = cfiRules(image)!;
    const registers = new BigUint64Array(17);
    const step = (offset: number) => rules.step(textOffset(offset), registers, () => undefined);
    assert.deepEqual(step(image.textSize + 1), { kind: 'error', reason: 'no_unwind_info' });
    const start = image.entry - image.textBase;
    assert.deepEqual(step(start + 8), { kind: 'end' });
    const plt = image.section('.plt')!.address - image.textBase;
    assert.deepEqual(step(plt), { kind: 'error', reason: 'stack_unreadable' });
  });
});
