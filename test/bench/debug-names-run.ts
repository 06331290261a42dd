/**
 * One measurement of debug-names.ts in a process of its own: prints a
 * DebugNamesRun. Arguments: a program, a file of addresses; the debug-info
 * thread is the bundle, as it is shipped.
 */
import { closeSync, openSync, readFileSync } from 'node:fs';
import { DEBUG_INFO_LIMITS, DebugInfoClient } from '../../src/agent/debug-info-client.ts';
import { DebugInfoFile } from '../../src/agent/debug-info-file.ts';
import { virtualAddress } from '../../src/units/units.ts';

export interface DebugNamesRun {
  /** From the first question to all names, the thread's start included. */
  readonly seconds: number;
  readonly named: number;
  readonly lines: number;
  /** Above what the process had before. */
  readonly peakMib: number;
  /** The same 10 s later. */
  readonly laterMib: number;
}

const MIB = 1024 * 1024;
const LATER_MS = 10_000;
const [program, list] = process.argv.slice(2) as [string, string];
const addresses = Float64Array.from(readFileSync(list, 'utf8').trim().split('\n'), Number);
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

const open = () => openSync(program, 'r');
const giveBack = (descriptors: readonly number[]) => {
  for (const fd of descriptors) closeSync(fd);
};
const origin = { id: 1, path: program, owner: '', roots: () => [], open, giveBack };
const file = new DebugInfoFile(origin);
const entry = new URL('../../dist/debug-info.cjs', import.meta.url);
const client = new DebugInfoClient(DEBUG_INFO_LIMITS, undefined, entry);
for (const address of addresses) file.occurred(virtualAddress(address), false);
const base = process.memoryUsage.rss();
const started = performance.now();
// Another thread reads the file: this one is free to look.
let peak = 0;
const watch = setInterval(() => {
  peak = Math.max(peak, process.memoryUsage.rss());
}, 10);
await client.ask([file]);
const seconds = (performance.now() - started) / 1000;
clearInterval(watch);
peak = Math.max(peak, process.memoryUsage.rss());
let [named, lines] = [0, 0];
for (const address of addresses) {
  const learned = file.take(virtualAddress(address));
  if (!learned) continue;
  named++;
  lines += learned.lines.length;
}
if (file.problems.size > 0) process.stderr.write(`${JSON.stringify([...file.problems])}\n`);
await pause(LATER_MS);
const result: DebugNamesRun = {
  seconds,
  named,
  lines,
  peakMib: (peak - base) / MIB,
  laterMib: (process.memoryUsage.rss() - base) / MIB,
};
process.stdout.write(JSON.stringify(result));
client.close();
