/** What thread-local carriers cost in the kernel: the same program with one and without. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crate } from '../harness/published.ts';
import { CUSTOM_LABELS, compileContext } from '../harness/requests.ts';
import { median, perSample, ROUNDS } from './go-labels.ts';
import type { Figure } from './table.ts';

interface Carried {
  readonly what: string;
  readonly command: readonly string[];
}

/** @param seconds of all rounds together */
export async function nativeLabels(seconds: number): Promise<Figure[]> {
  const folder = mkdtempSync(join(tmpdir(), 'bench-native-labels-'));
  try {
    const { without, carriers } = await programs(folder);
    const window = seconds / ((1 + carriers.length) * ROUNDS);
    const base: number[] = [];
    const costs = carriers.map((): number[] => []);
    for (let round = 0; round < ROUNDS; round++) {
      base.push(await perSample(without, window));
      for (const [i, { command }] of carriers.entries()) {
        costs[i]!.push(await perSample(command, window));
      }
    }
    return carriers.map(({ what }, i) => {
      const [plain, carried] = [median(base), median(costs[i]!)];
      return {
        what: `${what}: BPF time per sample more than without`,
        unit: 'µs',
        ours: (carried - plain) / 1000,
        atMost: 1.5,
        stretch: 0.5,
        note: `${carried.toFixed(0)} ns instead of ${plain.toFixed(0)}: × ${(carried / plain).toFixed(2)}`,
      };
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function programs(
  folder: string,
): Promise<{ without: readonly string[]; carriers: readonly Carried[] }> {
  const build = (name: string, sources: readonly string[], flags: readonly string[]): string =>
    compileContext(join(folder, name), sources, flags);
  const context = ['requests.c', 'thread-context.c'];
  const labels = join(await crate(...CUSTOM_LABELS), 'src');
  const big = ['-shared', '-fPIC', '-mtls-dialect=gnu2', '-DTLS_PADDING=8192'];
  const library = build('carrier.so', ['thread-context.c'], big);
  const forever = (style: string): string[] => [
    '1000000',
    '2',
    '50000',
    style,
    join(folder, 'report'),
  ];
  const object = compileContext(
    join(folder, 'customlabels.o'),
    [join(labels, 'customlabels.cpp')],
    ['-c', '-fPIC', '-std=c++17'],
    'g++',
  );
  const own = ['-DLINKED', `-I${labels}`, '-lstdc++', '-Wl,--export-dynamic'];
  const withLabels = build('labels', ['requests.c', 'custom-labels.c', object], own);
  return {
    // Under a name that says nothing.
    without: [
      build('without', context, ['-DLINKED', '-Dotel_thread_ctx_v1=unknown']),
      ...forever('swap'),
    ],
    carriers: [
      {
        what: 'thread context in the program',
        command: [build('static', context, ['-DLINKED']), ...forever('swap')],
      },
      {
        what: 'thread context in a library loaded late',
        command: [build('loader', ['requests.c'], ['-ldl']), ...forever('swap'), library],
      },
      { what: '20 custom-labels', command: [withLabels, ...forever('many')] },
    ],
  };
}
