import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, openSync, readFileSync, readSync, realpathSync, writeFileSync } from 'node:fs';
import { after, describe, test } from 'node:test';
import { textOffset } from '../units/units.ts';
import { Rule, ruleKind } from '../unwind/rule.ts';
import { type CfiRules, cfiRules } from './eh-frame.ts';
import { ElfImage } from './image.ts';
import { MemorySource } from './source.ts';
import { compileOracle, oracleRules } from './testdata/cfi-oracle.ts';
import { compile, openImage, scratchDirectory } from './testdata/programs.ts';
import { seeded } from './testdata/seeded.ts';

const scratch = scratchDirectory();
after(() => scratch.remove());
const oracle = compileOracle(scratch.path);

interface Table {
  readonly image: ElfImage;
  readonly rules: CfiRules;
  readonly offsets: number[];
  readonly encoded: number[];
}

function fullTable(image: ElfImage): Table {
  const rules = cfiRules(image);
  assert.ok(rules);
  const offsets: number[] = [];
  const encoded: number[] = [];
  rules.rows(textOffset(0), textOffset(image.textSize), (start, rule) => {
    offsets.push(start);
    encoded.push(rule);
  });
  return { image, rules, offsets, encoded };
}

function ruleAt(table: Table, offset: number): number {
  let low = 0;
  let high = table.offsets.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (table.offsets[middle]! <= offset) low = middle + 1;
    else high = middle;
  }
  return table.encoded[low - 1]!;
}

/** Random places, changes of the rule, and every rare kind of rule. */
function samplePlaces(table: Table, seed: number, count: number): number[] {
  const random = seeded(seed);
  const { offsets, encoded, image } = table;
  const places: number[] = [];
  for (let n = 0; n < count; n++) {
    places.push(random(image.textSize));
    const boundary = offsets[random(offsets.length)]!;
    places.push(boundary, Math.max(boundary - 1, 0));
  }
  const rare = encoded.flatMap((rule, index) => (ruleKind(rule) >= Rule.End ? [index] : []));
  for (const index of rare.slice(0, 1000)) {
    places.push(offsets[index]!, Math.max(offsets[index]! - 1, 0));
  }
  return places;
}

type Section = 'eh' | 'debug' | 'both';

/** What elfutils says; .debug_frame where .eh_frame is silent for 'both'. */
function expectedRules(file: string, section: Section, addresses: number[]): number[] {
  if (section !== 'both') return oracleRules(oracle, file, section, addresses);
  const first = oracleRules(oracle, file, 'eh', addresses);
  const second = oracleRules(oracle, file, 'debug', addresses);
  return first.map((rule, index) => (rule === Rule.None ? second[index]! : rule));
}

/** Places where ours differ from elfutils' rules, apart from padding between functions. */
function disagreements(table: Table, file: string, section: Section, places: number[]) {
  const { textBase } = table.image;
  const expected = expectedRules(
    file,
    section,
    places.map((place) => place + textBase),
  );
  assert.equal(expected.length, places.length);
  const differing = places.filter((place, index) => ruleAt(table, place) !== expected[index]);
  // Padding below 16 bytes takes the rule of the function before it.
  const padding = differing.flatMap((place) =>
    Array.from({ length: 17 }, (_, distance) => Math.max(place - distance, 0)),
  );
  const around = expectedRules(
    file,
    section,
    padding.map((place) => place + textBase),
  );
  return differing.filter((place, index) => {
    const rules = around.slice(index * 17, index * 17 + 17);
    const before = rules.findIndex((rule) => rule !== Rule.None);
    const isPadding = rules[0] === Rule.None && before > 0 && before <= 15;
    return !(isPadding && rules[before] === ruleAt(table, place));
  });
}

const PROGRAM = `
#include <alloca.h>
#include <string.h>
#include <stdlib.h>
typedef float vector __attribute__((vector_size(32)));
extern void use(void *);
__attribute__((noinline)) int compare(const void *a, const void *b) { return *(int *)a - *(int *)b; }
__attribute__((noinline)) void aligned(int n) {
  vector v[2] __attribute__((aligned(64)));
  char *p = alloca(n);
  memset(v, n, sizeof v); memset(p, n, n);
  __asm__ volatile("" :: "r"(v), "r"(p) : "memory");
}
int main(int argc, char **argv) {
  int values[100];
  for (int i = 0; i < 100; i++) values[i] = (i * 7919) % 101;
  qsort(values, 100, sizeof *values, compare);
  for (int i = 0; i < argc; i++) aligned(values[i] + 16);
  return values[0];
}`;

function checkFile(file: string, seed: number, count: number, section: Section = 'eh'): Table {
  const table = fullTable(openImage(file));
  const wrong = disagreements(table, file, section, samplePlaces(table, seed, count));
  assert.deepEqual(
    wrong.map((place) => place.toString(16)),
    [],
  );
  assert.deepEqual([...table.rules.problems], []);
  return table;
}

describe('rules agree with elfutils', () => {
  const libraries = [
    '/lib/x86_64-linux-gnu/libc.so.6',
    '/lib64/ld-linux-x86-64.so.2',
    '/usr/lib/x86_64-linux-gnu/libcrypto.so.3',
    '/usr/lib/x86_64-linux-gnu/libstdc++.so.6',
  ];
  for (const [index, library] of libraries.entries()) {
    test(`${library}: same rule at thousands of places`, () => {
      checkFile(realpathSync(library), 1000 + index, 2000);
    });
  }

  test('node itself: 100 MB with holes of JIT-like builtins', () => {
    const table = checkFile(process.execPath, 77, 3000);
    assert.ok(table.encoded.filter((rule) => ruleKind(rule) === Rule.None).length > 50);
  });

  test('glibc: exactly one signal trampoline, whose rule begins before its first byte', () => {
    const table = fullTable(openImage(realpathSync('/lib/x86_64-linux-gnu/libc.so.6')));
    const signals = table.offsets.filter((_, index) => table.encoded[index] === Rule.Signal);
    assert.equal(signals.length, 1);
  });

  for (const [compiler, options] of [
    ['gcc', ['-O2', '-static']],
    ['gcc', ['-O2', '-static-pie', '-fcf-protection']],
    ['gcc', ['-O0', '-mavx2']],
    ['gcc', ['-O2', '-mavx2', '-Wl,-z,lazy']],
    ['clang', ['-O2', '-mavx2', '-fPIE']],
    ['musl-gcc', ['-O2', '-static']],
    ['musl-gcc', ['-O2']],
  ] as const) {
    test(`${compiler} ${options.join(' ')}: same rule everywhere`, () => {
      const name = `program-${compiler}${options.join('')}`;
      const file = compile(scratch.path, name, PROGRAM, options, compiler);
      // Debian's musl has .debug_frame for what has no .eh_frame.
      checkFile(file, 5, 3000, compiler === 'musl-gcc' ? 'both' : 'eh');
    });
  }

  test('realigned stacks are dereferencing rules, not complex ones', () => {
    const table = fullTable(
      openImage(compile(scratch.path, 'realigned', PROGRAM, ['-O2', '-mavx2'])),
    );
    const kinds = new Set(table.encoded.map(ruleKind));
    assert.ok(kinds.has(Rule.RbpDeref));
    assert.ok(kinds.has(Rule.Register), 'CFA in r10 in the prologue');
    assert.ok(!kinds.has(Rule.Complex));
  });
});

describe('.debug_frame', () => {
  const onlyDebug = ['-O2', '-g', '-fno-asynchronous-unwind-tables', '-fno-unwind-tables'];

  for (const [name, extra] of [
    ['dwarf2', ['-gdwarf-2']],
    ['dwarf3', ['-gdwarf-3']],
    ['dwarf4', ['-gdwarf-4']],
    ['dwarf5', ['-gdwarf-5']],
    ['dwarf64', ['-gdwarf-5', '-gdwarf64']],
    ['compressed', ['-gz=zlib']],
    ['gnu-compressed', ['-gz=zlib-gnu']],
  ] as const) {
    test(`${name}: functions that .eh_frame lacks are filled in`, () => {
      const file = compile(scratch.path, `debug-${name}`, PROGRAM, [...onlyDebug, ...extra]);
      const table = fullTable(openImage(file));
      const symbols = execFileSync('nm', [file]).toString();
      for (const symbol of ['main', 'compare', 'aligned']) {
        const line = symbols.split('\n').find((text) => text.endsWith(` ${symbol}`))!;
        const start = Number.parseInt(line, 16) - table.image.textBase;
        const places = Array.from({ length: 40 }, (_, index) => start + index);
        const bounds = table.rules.functionBounds(textOffset(start));
        assert.equal(bounds?.start, start);
        const inside = places.filter((place) => place < bounds!.end);
        assert.deepEqual(disagreements(table, file, 'debug', inside), []);
      }
    });
  }
});

describe('without what linkers usually leave', () => {
  test('no section headers: PT_GNU_EH_FRAME is enough', () => {
    const file = compile(scratch.path, 'sectionless', PROGRAM, ['-O2']);
    const bytes = readFileSync(file);
    const whole = fullTable(ElfImage.parse(new MemorySource(bytes)));
    const cut = Buffer.from(bytes);
    cut.fill(0, 0x28, 0x30);
    cut.fill(0, 0x3a, 0x40);
    const image = ElfImage.parse(new MemorySource(cut));
    assert.equal(image.sections.length, 0);
    const table = fullTable(image);
    assert.deepEqual(table.offsets, whole.offsets);
    assert.deepEqual(table.encoded, whole.encoded);
  });

  test('no search table, or a nonsensical one: the section is scanned, with the same outcome', () => {
    const path = realpathSync('/lib/x86_64-linux-gnu/libc.so.6');
    const bytes = readFileSync(path);
    const whole = fullTable(ElfImage.parse(new MemorySource(bytes)));
    const header = whole.image.section('.eh_frame_hdr')!;
    for (const damage of ['encoding', 'starts', 'positions', 'order'] as const) {
      const copy = Buffer.from(bytes);
      const entries = header.offset + 12;
      if (damage === 'encoding') copy[header.offset + 3] = 0xff;
      for (let at = entries; at + 16 <= header.offset + header.size; at += 8) {
        if (damage === 'starts') copy.writeInt32LE(copy.readInt32LE(at) + 1, at);
        if (damage === 'positions') copy.writeInt32LE(0x7fffffff, at + 4);
        if (damage === 'order') copy.writeInt32LE(-copy.readInt32LE(at), at);
      }
      const table = fullTable(ElfImage.parse(new MemorySource(copy)));
      // Not deepEqual: its difference of two long arrays takes minutes to print.
      assert.equal(table.offsets.join(), whole.offsets.join(), damage);
      assert.equal(table.encoded.join(), whole.encoded.join(), damage);
      assert.ok((table.rules.problems.get('search_table') ?? 0) > 0, damage);
    }
  });

  test('the vDSO as it is in memory', () => {
    const maps = readFileSync('/proc/self/maps', 'latin1');
    const line = maps.split('\n').find((text) => text.endsWith('[vdso]'))!;
    const [start, end] = line
      .split(' ')[0]!
      .split('-')
      .map((text) => Number.parseInt(text, 16));
    const bytes = new Uint8Array(end! - start!);
    const memory = openSync('/proc/self/mem', 'r');
    assert.equal(readSync(memory, bytes, 0, bytes.length, start!), bytes.length);
    closeSync(memory);
    const file = `${scratch.path}/vdso.so`;
    writeFileSync(file, bytes);
    const table = checkFile(file, 3, 2000);
    assert.ok(table.encoded.some((rule) => ruleKind(rule) === Rule.Rsp));
  });
});

test('rows by region are the rows of the whole, cut at the regions', () => {
  const table = fullTable(openImage(realpathSync('/usr/lib/x86_64-linux-gnu/libcrypto.so.3')));
  const { textSize } = table.image;
  for (const size of [4096, 65536, 262144]) {
    for (let from = 0; from < textSize; from += size) {
      let previous = -1;
      let previousRule = -1;
      table.rules.rows(textOffset(from), textOffset(from + size), (start, rule) => {
        if (previous < 0) assert.equal(start, from);
        assert.ok(start > previous && start < from + size);
        assert.notEqual(rule, previousRule);
        if (start < textSize) assert.equal(rule, ruleAt(table, start));
        previous = start;
        previousRule = rule;
      });
      assert.ok(previous >= from);
    }
  }
});
