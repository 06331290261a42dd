/** One measurement of go-names.ts in a process of its own: prints a GoNamesRun. */
import { closeSync, openSync } from 'node:fs';
import { FileSource } from '../../src/elf/file-source.ts';
import { GoFunctions } from '../../src/elf/go-functions.ts';
import { ElfImage } from '../../src/elf/image.ts';
import { GoSymbols } from '../../src/symbolize/go-symbols.ts';
import { virtualAddress } from '../../src/units/units.ts';

export interface GoNamesRun {
  /** From the open file to the first location with an inlined call, code not yet compiled. */
  readonly openMs: number;
  /** Of the first pass over the addresses, which reads the table and compiles the code. */
  readonly firstPerSecond: number;
  /** Of the middle of later passes, per second of CPU. */
  readonly perSecond: number;
  /** Of this process up to the end of the first pass. */
  readonly wholeSeconds: number;
  readonly rssMib: number;
  readonly tableMib: number;
  readonly functions: number;
  readonly addresses: number;
  readonly inlinedPercent: number;
  readonly sample: readonly number[];
}

const ADDRESSES = 10_000;
const PASSES = 41;
const MIB = 1024 * 1024;

const fd = openSync(process.argv[2]!, 'r');
const rssBefore = process.memoryUsage.rss();
const started = performance.now();
const image = ElfImage.parse(new FileSource(fd));
const functions = GoFunctions.open(image)!;
const symbols = new GoSymbols(functions);
const { start, end } = functions.text;
const addresses = Array.from(randomNumbers(ADDRESSES), (n) =>
  virtualAddress(start + (n % (end - start))),
);
const isInlined = (address: (typeof addresses)[number]): boolean =>
  (symbols.lookup(address)?.length ?? 0) > 1;
addresses.some(isInlined);
const openMs = performance.now() - started;

/** Seconds of CPU: others may run too. */
const pass = (): number => {
  const before = process.cpuUsage();
  for (const address of addresses) symbols.lookup(address);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e6;
};
const first = pass();
const wholeSeconds = performance.now() / 1000;
const rssMib = (process.memoryUsage.rss() - rssBefore) / MIB;
const later = Array.from({ length: PASSES }, pass).sort((a, b) => a - b);
const result: GoNamesRun = {
  openMs,
  firstPerSecond: ADDRESSES / first,
  perSecond: ADDRESSES / later[PASSES >> 1]!,
  wholeSeconds,
  rssMib,
  tableMib: (image.section('.gopclntab')?.size ?? 0) / MIB,
  functions: functions.module.table.functionCount,
  addresses: ADDRESSES,
  inlinedPercent: (100 * addresses.filter(isInlined).length) / ADDRESSES,
  sample: addresses,
};
process.stdout.write(JSON.stringify(result));
closeSync(fd);

/** Below 2^44, by Knuth's generator. */
function* randomNumbers(count: number): Generator<number> {
  let state = 20261121n;
  for (let index = 0; index < count; index++) {
    state = (state * 6364136223846793005n + 1442695040888963407n) & 0xffff_ffff_ffff_ffffn;
    yield Number(state >> 20n);
  }
}
