/** The OTLP encoder against generated code: time, and memory beyond the output. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import type { Figure } from './table.ts';

interface Measured {
  /** CPU milliseconds of one encode. */
  readonly ours: number;
  /** Of protobufjs, its objects being there already. */
  readonly encode: number;
  /** The same with making those objects out of plain ones. */
  readonly buildAndEncode: number;
  readonly bytes: number;
  readonly allocated: number;
}

function measure(...flags: string[]): Measured {
  const main = join(import.meta.dirname, 'otlp-encode-main.ts');
  return JSON.parse(execFileSync(process.execPath, [...flags, main], { encoding: 'utf8' }));
}

export async function otlpEncode(): Promise<Figure[]> {
  // Time as `flametap` runs, which keeps the young generation small; memory where nothing is collected meanwhile.
  const { ours, encode, buildAndEncode } = measure('--max-semi-space-size=1');
  const roomy = ['--min-semi-space-size=64', '--max-semi-space-size=64'];
  const { allocated, bytes } = measure('--expose-gc', ...roomy);
  const milliseconds = (value: number): string => `${value.toFixed(1)} ms`;
  return [
    {
      what: 'OTLP encode of 50,000 samples against protobufjs, which has to build its objects',
      unit: '× CPU time',
      ours: ours / buildAndEncode,
      atMost: 0.5,
      stretch: 0.3,
      note: `${milliseconds(ours)} for ${bytes} bytes, protobufjs ${milliseconds(buildAndEncode)}`,
    },
    {
      what: 'the same, its objects being there already',
      unit: '× CPU time',
      ours: ours / encode,
      note: `protobufjs ${milliseconds(encode)}; we also look for duplicates and hash`,
    },
    {
      what: 'the same: allocated beyond the output',
      unit: '× output',
      ours: (allocated - bytes) / bytes,
      atMost: 2,
      stretch: 0.2,
    },
  ];
}
