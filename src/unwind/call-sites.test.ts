import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { realpathSync } from 'node:fs';
import { after, describe, test } from 'node:test';
import fc from 'fast-check';
import { cfiRules } from '../elf/eh-frame.ts';
import type { ElfImage } from '../elf/image.ts';
import { compile, openImage, scratchDirectory } from '../elf/testdata/programs.ts';
import { textOffset } from '../units/units.ts';
import { CALL_LOOKBACK, callSiteRows, callSites } from './call-sites.ts';
import { Rule } from './rule.ts';

const scratch = scratchDirectory();
after(() => scratch.remove());

const LIBC = realpathSync('/lib/x86_64-linux-gnu/libc.so.6');

function textOf(image: ElfImage): Uint8Array {
  const text = new Uint8Array(image.textSize);
  for (const segment of image.segments) {
    if (segment.type !== 1 || (segment.flags & 1) === 0) continue;
    const bytes = image.view(segment).read(0, segment.fileSize);
    text.set(bytes, segment.address - image.textBase);
  }
  return text;
}

/** Text offsets of the last bytes of all calls that the disassembler sees. */
function disassembledCalls(file: string, image: ElfImage): number[] {
  const output = execFileSync('objdump', ['-d', '-w', '--no-show-raw-insn', file], {
    maxBuffer: 512 << 20,
  });
  const sites: number[] = [];
  let wasCall = false;
  for (const line of output.toString().split('\n')) {
    const match = /^ *([0-9a-f]+):\t(.*)/.exec(line);
    if (match === null) continue;
    const address = Number.parseInt(match[1]!, 16) - image.textBase;
    if (wasCall) sites.push(address - 1);
    wasCall = /\bcall\b/.test(match[2]!) && !match[2]!.includes('(bad)');
  }
  return sites;
}

describe('callSites', () => {
  test('every call that objdump finds in libc is among the candidates', () => {
    const image = openImage(LIBC);
    const sites = new Set(callSites(textOf(image), textOffset(0), image.textSize));
    const calls = disassembledCalls(LIBC, image);
    assert.ok(calls.length > 10_000);
    const missed = calls.filter((site) => !sites.has(site));
    assert.deepEqual(
      missed.map((site) => (site + image.textBase).toString(16)),
      [],
    );
  });

  test('every form of an indirect call, with and without prefixes', () => {
    const registers = ['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi', 'r8', 'r12', 'r13'];
    const operands = registers.flatMap((name) => [
      `*%${name}`,
      `*(%${name})`,
      `*8(%${name})`,
      `*0x12345(%${name})`,
      `*(%${name},%r9,4)`,
      `*8(%${name},%rcx,8)`,
      `*0x12345(%${name},%r14,2)`,
    ]);
    operands.push('*0x100(%rip)', '*0x1000', '*0x1000(,%rcx,8)', '*%fs:0x10', '*%gs:(%rax)');
    const body = operands.map((operand) => `call ${operand}; nop;`).join(' ');
    const source = `__asm__(".text; .globl f; f: ${body} notrack call *%rax; nop; .byte 0x66,0x66,0x48; call f; nop; ret"); int main() { return 0; }`;
    const file = compile(scratch.path, 'calls', source, ['-fcf-protection=none']);
    const image = openImage(file);
    const sites = new Set(callSites(textOf(image), textOffset(0), image.textSize));
    const calls = disassembledCalls(file, image);
    assert.ok(calls.length >= operands.length + 2);
    assert.deepEqual(
      calls.filter((site) => !sites.has(site)),
      [],
    );
  });

  test('direct calls out of the text are no candidates', () => {
    const call = (displacement: number): Uint8Array => {
      const bytes = Buffer.alloc(5);
      bytes[0] = 0xe8;
      bytes.writeInt32LE(displacement, 1);
      return bytes;
    };
    const sites = (displacement: number): number[] => [
      ...callSites(call(displacement), textOffset(100), 1000),
    ];
    assert.deepEqual(sites(-105), [104]);
    assert.deepEqual(sites(-106), []);
    assert.deepEqual(sites(894), [104]);
    assert.deepEqual(sites(895), []);
    assert.deepEqual(sites(0x7fffffff), []);
  });

  test('regions with CALL_LOOKBACK bytes more give the same sites as the whole', () => {
    const image = openImage(LIBC);
    const text = textOf(image);
    const whole = callSites(text, textOffset(0), image.textSize);
    const parts: number[] = [];
    const size = 4096;
    for (let start = 0; start < text.length; start += size) {
      const first = Math.max(start - CALL_LOOKBACK, 0);
      const part = callSites(text.subarray(first, start + size), textOffset(first), image.textSize);
      parts.push(...part.filter((site) => site >= start));
    }
    assert.equal(parts.join(), whole.join());
  });

  test('the longest call may end with the first byte of a region', () => {
    const call = Uint8Array.of(0xff, 0x94, 0x24, 0x45, 0x23, 0x01, 0x00);
    const whole = callSites(call, textOffset(100), 1000);
    assert.deepEqual([...whole], [106]);
    assert.equal(106 - CALL_LOOKBACK, 100);
  });

  test('any bytes: ascending, no duplicates, within the text', () => {
    const byte = fc.oneof(
      fc.constantFrom(0xe8, 0xff, 0x14, 0x94, 0xd0, 0x54, 0x15, 0),
      fc.nat(255),
    );
    fc.assert(
      fc.property(fc.array(byte, { maxLength: 200 }), (values) => {
        const sites = callSites(Uint8Array.from(values), textOffset(1000), 5000);
        for (const [index, site] of sites.entries()) {
          assert.ok(site >= 1000 && site < 1000 + values.length);
          assert.ok(index === 0 || site > sites[index - 1]!);
        }
      }),
      { seed: 42, numRuns: 2000 },
    );
  });
});

function lookup(offsets: Uint32Array, rules: Uint32Array, offset: number): number | undefined {
  let found: number | undefined;
  for (let row = 0; row < offsets.length && offsets[row]! <= offset; row++) found = rules[row];
  return found;
}

describe('callSiteRows', () => {
  test('every candidate finds the rule that the full rows give', () => {
    const gap = fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 9000 }));
    const row = fc.tuple(gap, fc.constantFrom(Rule.None, Rule.Signal, 0x1001, 0x2001, 0x3002));
    fc.assert(
      fc.property(
        fc.array(row, { minLength: 1, maxLength: 40 }),
        fc.array(fc.nat(200_000)),
        (rows, picks) => {
          let at = 64;
          const offsets = Uint32Array.from(rows, ([size]) => (at += size));
          const rules = Uint32Array.from(rows, ([, rule]) => rule);
          const end = at + 100;
          const span = end - offsets[0]!;
          const sites = Uint32Array.from(
            new Set(picks.map((pick) => offsets[0]! + (pick % span))),
          ).sort();
          const reduced = callSiteRows(offsets, rules, sites);
          assert.equal(reduced.offsets[0], offsets[0]);
          for (const site of sites) {
            assert.equal(
              lookup(reduced.offsets, reduced.rules, site),
              lookup(offsets, rules, site),
            );
          }
          for (let index = 1; index < reduced.rules.length; index++) {
            assert.notEqual(reduced.rules[index], reduced.rules[index - 1]);
            assert.ok(reduced.offsets[index]! > reduced.offsets[index - 1]!);
          }
          for (const [index, rule] of rules.entries()) {
            const size = (offsets[index + 1] ?? Number.POSITIVE_INFINITY) - offsets[index]!;
            if (rule === Rule.Signal || (rule === Rule.None && size > 4096)) {
              assert.equal(lookup(reduced.offsets, reduced.rules, offsets[index]!), rule);
            }
          }
        },
      ),
      { seed: 7, numRuns: 1000 },
    );
  });

  test('libc: a tenth of the rows is left, all calls agree, the trampoline stays', () => {
    const image = openImage(LIBC);
    const rules = cfiRules(image)!;
    const offsetList: number[] = [];
    const ruleList: number[] = [];
    rules.rows(textOffset(0), textOffset(image.textSize), (start, rule) => {
      offsetList.push(start);
      ruleList.push(rule);
    });
    const offsets = Uint32Array.from(offsetList);
    const encoded = Uint32Array.from(ruleList);
    const sites = callSites(textOf(image), textOffset(0), image.textSize);
    const reduced = callSiteRows(offsets, encoded, sites);
    assert.ok(reduced.offsets.length < offsets.length * 0.15);
    assert.ok(reduced.rules.includes(Rule.Signal));
    let full = 0;
    let small = 0;
    for (const site of sites) {
      while (full + 1 < offsets.length && offsets[full + 1]! <= site) full++;
      while (small + 1 < reduced.offsets.length && reduced.offsets[small + 1]! <= site) small++;
      assert.equal(reduced.rules[small], encoded[full]);
    }
  });
});
