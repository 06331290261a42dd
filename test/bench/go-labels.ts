/** What labels of goroutines cost in the kernel: the same program with none and with 20. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startProfiler } from '../../src/agent/profiler.ts';
import { buildRequests } from '../harness/go-requests.ts';
import { pause } from '../harness/record.ts';
import { bpfPrograms, bpfTotal, checkBpfStats, type ProgramStats } from './meter.ts';
import type { Figure } from './table.ts';

const LABELS = 20;
/** One with labels and one without follow each other, so that both meet the same machine. */
export const ROUNDS = 5;
const HZ = 499;

const FORMS = [
  { form: 'slice', release: undefined },
  { form: 'map, Go 1.21', release: '1.21.13' },
] as const;

/** @param seconds of all rounds together */
export async function goLabels(seconds: number): Promise<Figure[]> {
  const folder = mkdtempSync(join(tmpdir(), 'bench-labels-'));
  try {
    const figures: Figure[] = [];
    for (const { form, release } of FORMS) {
      const program = buildRequests(folder, { plain: true, ...(release ? { release } : {}) });
      const window = seconds / (2 * ROUNDS);
      const [without, withLabels]: [number[], number[]] = [[], []];
      for (let round = 0; round < ROUNDS; round++) {
        without.push(await perSample([program, 'forever', '0'], window));
        withLabels.push(await perSample([program, 'forever', String(LABELS)], window));
      }
      const [base, labelled] = [median(without), median(withLabels)];
      figures.push({
        what: `${LABELS} labels of a goroutine (${form}): BPF time per sample more than without`,
        unit: 'µs',
        ours: (labelled - base) / 1000,
        atMost: 1.5,
        stretch: 1,
        note: `${labelled.toFixed(0)} ns instead of ${base.toFixed(0)}: × ${(labelled / base).toFixed(2)}`,
      });
    }
    return figures;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Nanoseconds of BPF time per sample of the command. */
export async function perSample(
  [program, ...args]: readonly string[],
  seconds: number,
): Promise<number> {
  const child = spawn(program!, args, { stdio: 'ignore' });
  // Other profilers may be running.
  const others = new Set(bpfPrograms().map(({ id }) => id));
  try {
    const profiler = await startProfiler({
      hz: HZ,
      scope: { pids: [child.pid!], followChildren: true },
      threads: false,
      kernelStacks: true,
      maxDepth: 128,
      symbols: { debuginfodUrls: [], cacheDir: '', maxCacheBytes: 1 << 20 },
    });
    // The first samples are those of a process that is not known yet.
    await pause(500);
    const isOurs = ({ id, name }: ProgramStats): boolean =>
      name.startsWith('ft_sample') && !others.has(id);
    const read = () => ({ ns: bpfTotal(isOurs).ns, samples: profiler.counts().samples });
    const before = read();
    await pause(seconds * 1000);
    const after = read();
    checkBpfStats();
    await profiler.stop();
    if (child.exitCode !== null) throw new Error(`${program} ended with ${child.exitCode}`);
    return (after.ns - before.ns) / Math.max(1, after.samples - before.samples);
  } finally {
    child.kill('SIGKILL');
  }
}

export function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1]!;
}
