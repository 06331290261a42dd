/** What llvm-symbolizer says of addresses, and where DebugInfo says something else. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DebugInfo, DebugLine } from './debug-info.ts';

/** As llvm-symbolizer's JSON has it. */
export interface OracleLine {
  readonly FunctionName: string;
  readonly FileName: string;
  readonly Line: number;
  readonly Column: number;
  readonly StartLine: number;
}

export interface Comparison {
  compared: number;
  /** Addresses that debug information covers. */
  covered: number;
  inlined: number;
  readonly disagreements: string[];
}

/**
 * Compares function, file, line, column, first line and inline chain at
 * ascending addresses. `reference` is the file for LLVM when it cannot read
 * what `info` reads: the same program before compression and the like.
 * `accepts` tells of a disagreement whether LLVM is known to be wrong there.
 */
export function compare(
  info: DebugInfo,
  reference: string,
  addresses: Float64Array,
  accepts: (ours: readonly DebugLine[], theirs: readonly OracleLine[]) => boolean = () => false,
): Comparison {
  const directory = mkdtempSync(join(tmpdir(), 'flametap-oracle-'));
  let linkage: OracleLine[][];
  let short: OracleLine[][];
  try {
    const hidden = withoutSymbols(reference, directory);
    linkage = oracleLines(hidden, addresses, 'linkage');
    short = oracleLines(hidden, addresses, 'short');
  } finally {
    rmSync(directory, { recursive: true });
  }
  const chains = info.lookup(addresses);
  assert.equal(linkage.length, addresses.length);
  const result: Comparison = { compared: 0, covered: 0, inlined: 0, disagreements: [] };
  for (const [index, address] of addresses.entries()) {
    const ours = chains[index] ?? [NOTHING];
    const theirs = linkage[index]!;
    result.compared++;
    if (chains[index] !== undefined) result.covered++;
    result.inlined += ours.length - 1;
    if (agrees(ours, theirs, short[index]!) || accepts(ours, theirs)) continue;
    result.disagreements.push(
      `0x${address.toString(16)}: ${ours.map(ourText).join(' < ')} | ${theirs.map(theirText).join(' < ')}`,
    );
  }
  return result;
}

const NOTHING: DebugLine = {
  name: '',
  linkageName: '',
  file: '',
  line: 0,
  column: 0,
  startLine: 0,
};

function agrees(
  ours: readonly DebugLine[],
  linkage: readonly OracleLine[],
  short: readonly OracleLine[],
): boolean {
  return (
    ours.length === linkage.length &&
    ours.every((line, depth) => {
      const theirs = linkage[depth]!;
      const { name } = line;
      const shortName = short[depth]!.FunctionName;
      return (
        line.file === theirs.FileName &&
        line.line === theirs.Line &&
        line.column === theirs.Column &&
        line.startLine === theirs.StartLine &&
        // LLVM's short names have no scopes, ours do without a linkage name.
        (name === shortName || (line.linkageName === '' && name.endsWith(`::${shortName}`))) &&
        (line.linkageName || shortName) === theirs.FunctionName
      );
    })
  );
}

const ourText = (line: DebugLine): string =>
  `${line.name}(${line.linkageName}) ${line.file}:${line.line}:${line.column} ${line.startLine}`;
const theirText = (line: OracleLine): string =>
  `${line.FunctionName} ${line.FileName}:${line.Line}:${line.Column} ${line.StartLine}`;

/**
 * A copy whose symbol tables LLVM does not see: it would prefer the symbol's
 * name over the debug information's.
 */
function withoutSymbols(path: string, directory: string): string {
  const bytes = readFileSync(path);
  const table = Number(bytes.readBigUInt64LE(40));
  const count = bytes.readUInt16LE(60);
  for (let index = 0; index < count; index++) {
    const at = table + index * 64 + 4;
    const type = bytes.readUInt32LE(at);
    if (type === SYMBOLS || type === DYNAMIC_SYMBOLS) bytes.writeUInt32LE(PROGRAM_BITS, at);
  }
  const copy = join(directory, 'program');
  writeFileSync(copy, bytes);
  return copy;
}
const PROGRAM_BITS = 1;
const SYMBOLS = 2;
const DYNAMIC_SYMBOLS = 11;

function oracleLines(
  path: string,
  addresses: Float64Array,
  functions: 'linkage' | 'short',
): OracleLine[][] {
  const { stdout, status, stderr } = spawnSync(
    'llvm-symbolizer',
    [
      `--obj=${path}`,
      '--inlines',
      `--functions=${functions}`,
      '--no-demangle',
      '--output-style=JSON',
    ],
    {
      input: Array.from(addresses, (address) => `0x${address.toString(16)}\n`).join(''),
      maxBuffer: 1 << 30,
      encoding: 'utf8',
    },
  );
  assert.equal(status, 0, `llvm-symbolizer: ${stderr}`);
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) => (JSON.parse(line) as { Symbol: OracleLine[] }).Symbol);
}
