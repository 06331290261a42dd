/** Memory of an exporter whose backend is dead for an hour, against one whose backend lives. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Figure } from './table.ts';

interface Measured {
  readonly rssBytes: number;
  readonly mostBytes: number;
  readonly queueSize: number;
  readonly queueBytes: number;
  readonly sent: number;
  readonly sendFailed: number;
}

const MIB = 1024 * 1024;
const script = (name: string): string => join(import.meta.dirname, name);

async function measure(url: string): Promise<Measured> {
  // As `flametap` sets them.
  const env = {
    ...process.env,
    MALLOC_ARENA_MAX: '2',
    MALLOC_MMAP_THRESHOLD_: '65536',
    MALLOC_TRIM_THRESHOLD_: '131072',
  };
  const args = ['--max-semi-space-size=1', '--expose-gc', script('dead-backend-main.ts'), url];
  const { stdout } = await promisify(execFile)(process.execPath, args, { env });
  return JSON.parse(stdout) as Measured;
}

/** A URL where connections are refused. */
async function nobody(): Promise<string> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return `http://127.0.0.1:${port}`;
}

export async function deadBackend(): Promise<Figure[]> {
  const sink = spawn(process.execPath, [script('sink-main.ts')], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  try {
    const [printed] = (await once(sink.stdout, 'data')) as [Buffer];
    const live = await measure(printed.toString().trim());
    const down = await measure(await nobody());
    return [
      {
        what: "RSS with a backend that is dead for an hour's flushes, beyond that with a live one",
        unit: 'MiB',
        ours: (down.rssBytes - live.rssBytes) / MIB,
        atMost: 10,
        stretch: 3,
        note: `${(down.rssBytes / MIB).toFixed(1)} and ${(live.rssBytes / MIB).toFixed(1)}; ${down.queueSize} requests, ${(down.queueBytes / MIB).toFixed(0)} MiB on disk, ${down.sendFailed} attempts; most ${(down.mostBytes / MIB).toFixed(1)} and ${(live.mostBytes / MIB).toFixed(1)}`,
      },
    ];
  } finally {
    sink.stdin.end();
  }
}
