/**
 * ELF files that lie about themselves. The second page of each is code that can be mapped and
 * run, so that a profiler has a reason to read the rest.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { deflateSync } from 'node:zlib';

/** push rbp; mov rbp, rsp; loop: dec rdi; jnz loop; pop rbp; ret. As in trick.h. */
const CODE = Buffer.from('554889e548ffcf75fb5dc3', 'hex');
const PAGE = 4096;
const HEADER = 64;
const PROGRAM_HEADER = 56;
const SECTION_HEADER = 64;
const HUGE = 2n ** 62n;

const SectionType = { Data: 1, Symbols: 2, Strings: 3, Note: 7 } as const;
const COMPRESSED = 0x800n;

interface Section {
  readonly name: string;
  readonly type?: number;
  readonly flags?: bigint;
  readonly bytes: Buffer;
  /** What the header says, when it is not so. */
  readonly size?: bigint;
  readonly offset?: bigint;
  readonly link?: number;
  readonly entry?: number;
}

const u32 = (...values: number[]): Buffer => Buffer.from(Uint32Array.from(values).buffer);
const u64 = (...values: bigint[]): Buffer =>
  Buffer.from(BigUint64Array.from(values, (value) => BigInt.asUintN(64, value)).buffer);

/** A file with these sections; `spoil` may then write what it likes. */
function elf(sections: readonly Section[], spoil: (file: Buffer) => void = () => {}): Buffer {
  const names = ['', ...sections.map(({ name }) => name), '.shstrtab'];
  const nameTable = Buffer.from(`${names.join('\0')}\0`);
  const all: Section[] = [
    ...sections,
    { name: '.shstrtab', type: SectionType.Strings, bytes: nameTable },
  ];
  const parts: Buffer[] = [];
  let at = 2 * PAGE;
  const headers: Buffer[] = [Buffer.alloc(SECTION_HEADER)];
  let nameAt = 1;
  for (const { name, type, flags, bytes, size, offset, link, entry } of all) {
    headers.push(
      Buffer.concat([
        u32(nameAt, type ?? SectionType.Data),
        u64(flags ?? 0n, BigInt(at), offset ?? BigInt(at), size ?? BigInt(bytes.length)),
        u32(link ?? 0, 0),
        u64(8n, BigInt(entry ?? 0)),
      ]),
    );
    nameAt += name.length + 1;
    const padding = Buffer.alloc((8 - (bytes.length % 8)) % 8);
    parts.push(bytes, padding);
    at += bytes.length + padding.length;
  }
  const header = Buffer.alloc(HEADER);
  header.write('\x7fELF\x02\x01\x01', 'latin1');
  header.writeUInt16LE(3, 16); // ET_DYN
  header.writeUInt16LE(62, 18); // x86-64
  header.writeUInt32LE(1, 20);
  header.writeBigUInt64LE(BigInt(HEADER), 32);
  header.writeBigUInt64LE(BigInt(at), 40);
  for (const [offset, value] of [
    [52, HEADER],
    [54, PROGRAM_HEADER],
    [56, 3],
    [58, SECTION_HEADER],
    [60, headers.length],
    [62, headers.length - 1],
  ] as const) {
    header.writeUInt16LE(value, offset);
  }
  const segment = (kind: number, flags: number, from: number, size: number): Buffer =>
    Buffer.concat([
      u32(kind, flags),
      u64(BigInt(from), BigInt(from), BigInt(from), BigInt(size), BigInt(size), BigInt(PAGE)),
    ]);
  const index = sections.findIndex(({ name }) => name === '.eh_frame_hdr');
  const start = parts.slice(0, Math.max(0, index * 2)).reduce((sum, { length }) => sum + length, 0);
  const first = Buffer.concat(
    [
      header,
      segment(1, 5, PAGE, PAGE),
      segment(1, 4, 2 * PAGE, at - 2 * PAGE),
      segment(index < 0 ? 0 : 0x6474e550, 4, 2 * PAGE + start, sections[index]?.bytes.length ?? 0),
    ],
    PAGE,
  );
  const code = Buffer.concat([CODE], PAGE);
  const file = Buffer.concat([first, code, ...parts, ...headers]);
  spoil(file);
  return file;
}

/** A CIE whose rules are the architecture's, then FDEs made by `fde`. */
function frames(instructions: Buffer, count: number, covers = 16): Buffer {
  const pad = (bytes: Buffer): Buffer =>
    Buffer.concat([bytes, Buffer.alloc((8 - ((bytes.length + 4) % 8)) % 8)]);
  const cie = pad(
    Buffer.from('00000000017a52000178100 11b0c070890010000'.replace(/ /g, ''), 'hex'),
  );
  const parts = [u32(cie.length), cie];
  let at = 4 + cie.length;
  for (let i = 0; i < count; i++) {
    const start = PAGE + ((i * covers) % PAGE) - (2 * PAGE + at + 8);
    const body = pad(
      Buffer.concat([u32(at + 4, start >>> 0, covers), Buffer.from([0]), instructions]),
    );
    parts.push(u32(body.length), body);
    at += 4 + body.length;
  }
  return Buffer.concat([...parts, u32(0)]);
}

const leb = (...values: number[]): Buffer =>
  Buffer.concat(
    values.map((value) => {
      const bytes: number[] = [];
      let left = value;
      do {
        bytes.push((left & 0x7f) | (left > 0x7f ? 0x80 : 0));
        left = Math.floor(left / 128);
      } while (left > 0);
      return Buffer.from(bytes);
    }),
  );

/** Abbreviations: 1 a unit, 2 a function, 3 an inlined call, each with a reference and addresses. */
const ABBREVIATIONS = Buffer.concat([
  leb(1, 0x11, 1, 0x11, 0x01, 0x12, 0x06, 0x10, 0x17, 0, 0),
  leb(2, 0x2e, 1, 0x47, 0x13, 0x11, 0x01, 0x12, 0x06, 0, 0),
  leb(3, 0x1d, 1, 0x31, 0x13, 0x11, 0x01, 0x12, 0x06, 0, 0),
  leb(4, 0x3d, 0, 0x18, 0x10, 0, 0),
  leb(0),
]);

/** A unit of functions and inlined calls, each of which refers to itself, the next or the first. */
function circularUnit(depth: number, refersTo: (at: number) => number): Buffer {
  const parts = [leb(1), u64(BigInt(PAGE)), u32(PAGE), u32(0)];
  let at = 11 + parts.reduce((sum, { length }) => sum + length, 0);
  for (let i = 0; i < depth; i++) {
    const die = Buffer.concat([
      leb(i === 0 ? 2 : 3),
      u32(refersTo(at) >>> 0),
      u64(BigInt(PAGE)),
      u32(PAGE),
    ]);
    parts.push(die);
    at += die.length;
  }
  parts.push(leb(4), u32(0), Buffer.alloc(depth + 1));
  const body = Buffer.concat([Buffer.from([4, 0]), u32(0), Buffer.from([8]), Buffer.concat(parts)]);
  return Buffer.concat([u32(body.length), body]);
}

const debug = (info: Buffer, line: Buffer = Buffer.alloc(16)): Section[] => [
  { name: '.debug_info', bytes: info },
  { name: '.debug_abbrev', bytes: ABBREVIATIONS },
  { name: '.debug_line', bytes: line },
];

/** zlib of that many zeros, with a header that says `claimed`. */
function bomb(bytes: number, claimed: bigint): Buffer {
  const header = Buffer.concat([u32(1, 0), u64(claimed, 8n)]);
  return Buffer.concat([header, deflateSync(Buffer.alloc(bytes), { level: 1 })]);
}

function symbols(count: number): Section[] {
  const table = Buffer.alloc(24 * count);
  for (let i = 0; i < count; i++) {
    table.writeUInt32LE(i % 65536, i * 24);
    table.writeUInt8(0x12, i * 24 + 4);
    table.writeUInt16LE(1, i * 24 + 6);
    table.writeBigUInt64LE(BigInt(PAGE + (i % 7)), i * 24 + 8);
    table.writeBigUInt64LE(BigInt(i % 4096), i * 24 + 16);
  }
  return [
    { name: '.symtab', type: SectionType.Symbols, bytes: table, link: 2, entry: 24 },
    { name: '.strtab', type: SectionType.Strings, bytes: Buffer.alloc(1 << 20, 'n') },
  ];
}

/** A line program that makes as many rows as its bytes allow. */
function lineBomb(bytes: number): Buffer {
  const header = Buffer.from([0, 1, 1, 1, 255, 1, ...Array(9).fill(1), 0, 0]);
  const rest = Buffer.concat([u32(header.length), header, Buffer.alloc(bytes, 0xff)]);
  return Buffer.concat([u32(rest.length + 2), Buffer.from([4, 0]), rest]);
}

function lzmaBomb(bytes: number): Buffer {
  try {
    return execFileSync('xz', ['-0', '-c'], { input: Buffer.alloc(bytes), maxBuffer: 64 << 20 });
  } catch {
    return Buffer.from('fd377a585a000004e6d6b446', 'hex'); // No xz here: a header and no more.
  }
}

function madeUp(): Record<string, Buffer> {
  const some: Buffer = Buffer.alloc(64, 0x41);
  const note = (name: number, size: number) => Buffer.concat([u32(name, size, 3), some]);
  const skipBack = Buffer.from([0x0f, 3, 0x2f, 0xfd, 0xff]); // DW_OP_skip -3, for ever
  const header = (count: number): Buffer =>
    Buffer.concat([Buffer.from([1, 0x1b, 0x03, 0x3b]), u32(16, count), some]);
  return {
    'sections-beyond': elf([{ name: '.text', bytes: some }], (file) => {
      file.writeBigUInt64LE(HUGE, 40);
      file.writeUInt16LE(0xffff, 60);
    }),
    'sections-many': elf([{ name: '.text', bytes: some }], (file) =>
      file.writeUInt16LE(0xfff0, 60),
    ),
    'segments-many': elf([{ name: '.text', bytes: some }], (file) =>
      file.writeUInt16LE(0xffff, 56),
    ),
    'sizes-beyond': elf([
      { name: '.symtab', type: SectionType.Symbols, bytes: some, size: HUGE, link: 2, entry: 24 },
      { name: '.strtab', type: SectionType.Strings, bytes: some, size: -1n },
      { name: '.eh_frame', bytes: some, size: HUGE },
      { name: '.debug_info', bytes: some, offset: HUGE },
    ]),
    'rules-billions': elf([
      { name: '.eh_frame_hdr', bytes: header(0x7fff_ffff) },
      { name: '.eh_frame', bytes: frames(Buffer.alloc(0), 4) },
    ]),
    'rules-many': elf([
      { name: '.eh_frame', bytes: frames(Buffer.from([0x41, 0x0e, 0x10]), 200_000, 1) },
    ]),
    'rules-endless': elf([{ name: '.eh_frame', bytes: frames(skipBack, 100) }]),
    'rules-advance': elf([
      { name: '.eh_frame', bytes: frames(Buffer.alloc(1 << 20, 0x41), 8, 0x7fff_ffff) },
    ]),
    'notes-large': elf([
      { name: '.note.gnu.build-id', type: SectionType.Note, bytes: note(4, 0xffff_fff0) },
      { name: '.note.other', type: SectionType.Note, bytes: note(0, 0) },
    ]),
    'symbols-many': elf(symbols(300_000)),
    'bomb-honest': elf([
      { name: '.debug_info', flags: COMPRESSED, bytes: bomb(64 << 20, BigInt(64 << 20)) },
      { name: '.debug_abbrev', flags: COMPRESSED, bytes: bomb(64 << 20, BigInt(64 << 20)) },
    ]),
    'bomb-lying': elf([
      { name: '.debug_info', flags: COMPRESSED, bytes: bomb(64 << 20, 100n) },
      { name: '.debug_abbrev', flags: COMPRESSED, bytes: bomb(1 << 20, HUGE) },
      { name: '.debug_line', flags: COMPRESSED, bytes: bomb(1 << 20, -1n) },
    ]),
    'bomb-lzma': elf([{ name: '.gnu_debugdata', bytes: lzmaBomb(64 << 20) }]),
    'circle-self': elf(debug(circularUnit(1000, (at) => at))),
    'circle-first': elf(debug(circularUnit(50_000, () => 11 + 17))),
    'circle-next': elf(debug(circularUnit(50_000, (at) => at + 17))),
    'references-beyond': elf(debug(circularUnit(1000, () => 0xffff_fff0))),
    'lines-many': elf(
      debug(
        circularUnit(4, (at) => at),
        lineBomb(8 << 20),
      ),
    ),
  };
}

/** Numbers that look random and are the same for a seed. */
function* numbers(seed: number): Generator<number, never> {
  let state = seed >>> 0;
  for (;;) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    yield state;
  }
}

/**
 * Writes the files. @param library a real one, copies of which are damaged at random
 */
export function writeGarbage(folder: string, library: string, seed: number): void {
  const files: [string, Buffer][] = Object.entries(madeUp());
  const real = readFileSync(library);
  const random = numbers(seed);
  for (let copy = 0; copy < 60; copy++) {
    const file = Buffer.from(real);
    for (let change = 0; change < 20; change++) {
      // Headers and tables rather than the padding between.
      const place = random.next().value % 2 ? random.next().value % 1024 : random.next().value;
      file[place % file.length] = random.next().value >>> 16;
    }
    CODE.copy(file, PAGE);
    files.push([`damaged-${copy}`, file]);
  }
  for (const [name, bytes] of files) writeFileSync(join(folder, `${name}.elf`), bytes);
}
