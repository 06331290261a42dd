/** What names from debug information cost: 10,000 addresses of a large C++ program, cold. */
import { execFileSync } from 'node:child_process';
import { openSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { FileSource } from '../../src/elf/file-source.ts';
import { ElfImage } from '../../src/elf/image.ts';
import type { DebugNamesRun } from './debug-names-run.ts';
import { buildLargeCpp } from './large-cpp.ts';
import type { Figure } from './table.ts';

const RUN = fileURLToPath(import.meta.resolve('./debug-names-run.ts'));
const ADDRESSES = 10_000;
/** Fresh processes, ours and the peer in turn; the middle one counts. */
const RUNS = 3;
const MIB = 1024 * 1024;

const middle = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1]!;

export async function debugNames(): Promise<Figure[]> {
  const program = buildLargeCpp();
  const list = join(dirname(program), 'addresses');
  const { addresses, debugMib } = choose(program);
  writeFileSync(list, `${addresses.join('\n')}\n`);
  const input = addresses.map((address) => `0x${address.toString(16)}\n`).join('');
  const runs: DebugNamesRun[] = [];
  const peers: number[] = [];
  for (let run = 0; run < RUNS; run++) {
    const output = execFileSync(process.execPath, [RUN, program, list], { encoding: 'utf8' });
    runs.push(JSON.parse(output) as DebugNamesRun);
    const started = performance.now();
    execFileSync('llvm-symbolizer', ['--inlines', `--obj=${program}`], {
      input,
      maxBuffer: 1 << 30,
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    peers.push((performance.now() - started) / 1000);
  }
  const peer = middle(peers);
  const { named, lines } = runs[0]!;
  return [
    {
      what: `debug information: ${ADDRESSES} addresses, cold`,
      unit: 's',
      ours: middle(runs.map(({ seconds }) => seconds)),
      peer,
      peerName: 'llvm-symbolizer',
      atMost: peer,
      stretch: 0.3 * peer,
      note: `${debugMib.toFixed(0)} MiB of debug information in ${(statSync(program).size / MIB).toFixed(0)} MiB; ${named} named, ${lines} lines`,
    },
    {
      what: 'the same: RSS above the base',
      unit: 'MiB',
      ours: middle(runs.map(({ peakMib }) => peakMib)),
      atMost: 100,
      stretch: 50,
    },
    {
      what: 'the same: RSS above the base 10 s later',
      unit: 'MiB',
      ours: middle(runs.map(({ laterMib }) => laterMib)),
      note: 'the thread has ended',
    },
  ];
}

/** Addresses all over the code, ascending. */
function choose(program: string): { addresses: number[]; debugMib: number } {
  const source = new FileSource(openSync(program, 'r'));
  try {
    const image = ElfImage.parse(source);
    const text = image.section('.text')!;
    const debug = image.sections.filter(({ name }) => name.startsWith('.debug_'));
    const step = text.size / ADDRESSES;
    return {
      addresses: Array.from({ length: ADDRESSES }, (_, i) => text.address + Math.floor(i * step)),
      debugMib: debug.reduce((sum, { size }) => sum + size, 0) / MIB,
    };
  } finally {
    source.close();
  }
}
