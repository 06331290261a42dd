/** How much one core takes through encoder, queue and sender. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Figure } from './table.ts';

interface Measured {
  readonly rows: number;
  readonly bytes: number;
  readonly cpuSeconds: number;
  readonly wallSeconds: number;
  readonly sent: number;
  readonly lost: number;
}

const script = (name: string): string => join(import.meta.dirname, name);

async function measure(url: string, compression: string): Promise<Measured> {
  const args = ['--max-semi-space-size=1', script('delivery-main.ts'), url, compression];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  return JSON.parse(stdout) as Measured;
}

export async function delivery(): Promise<Figure[]> {
  const sink = spawn(process.execPath, [script('sink-main.ts')], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  try {
    const [url] = (await once(sink.stdout, 'data')) as [Buffer];
    const plain = await measure(url.toString().trim(), 'none');
    const packed = await measure(url.toString().trim(), 'gzip');
    return [
      ...figuresOf('through queue and sender', plain, true),
      ...figuresOf('the same with gzip', packed, false),
    ];
  } finally {
    sink.stdin.end();
  }
}

/** Rates are per second of CPU time, all threads together: what one core sustains. */
function figuresOf(what: string, measured: Measured, hasAim: boolean): Figure[] {
  const { rows, bytes, cpuSeconds, wallSeconds, lost } = measured;
  const note = `${(bytes / 1e6).toFixed(0)} MB in ${wallSeconds.toFixed(1)} s, ${cpuSeconds.toFixed(1)} s of CPU, ${lost} lost`;
  return [
    {
      what: `samples ${what} to a local receiver`,
      unit: '/s of a core',
      ours: rows / cpuSeconds,
      ...(hasAim ? { atLeast: 150_000, stretch: 300_000 } : {}),
      note,
    },
    {
      what: `bytes of requests ${what}`,
      unit: 'MB/s of a core',
      ours: bytes / 1e6 / cpuSeconds,
      ...(hasAim ? { atLeast: 20, stretch: 40 } : {}),
    },
  ];
}
