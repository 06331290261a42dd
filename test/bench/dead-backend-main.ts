/**
 * An exporter through the flushes of an hour, in a process of its own: prints
 * its memory as JSON. `dead-backend.ts` starts it. Arguments: URL of the receiver.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { destinationOf, settingsOf } from '../../src/agent/destinations.ts';
import { loadConfig } from '../../src/config/load.ts';
import { Exporter } from '../../src/export/exporter.ts';
import { unixTime } from '../../src/units/units.ts';
import { largeProfile } from './large-profile.ts';

/** One every 10 seconds. */
const FLUSHES = 360;
/** For requests of 700 KB before compression: a busy machine's profile. */
const SAMPLES = 300;
/** A flush here takes 20 ms instead of 10 s: pauses after failures are as much shorter, so there are as many attempts. */
const FLUSH_MS = 20;
const RETRY = { initial: '10ms', max: '60ms' };

const [url = ''] = process.argv.slice(2);
const directory = mkdtempSync(join(tmpdir(), 'bench-dead-'));
const exporter = {
  otlp: { endpoint: url, protocol: 'http/protobuf', queue: { directory }, retry: RETRY },
};
const [planned] = loadConfig({
  file: undefined,
  environment: {},
  sets: [`exporters=${JSON.stringify([exporter])}`],
}).config.exporters;
const running = Exporter.open(destinationOf(planned!, {}), settingsOf(planned!));
const whole = largeProfile();
const profile = { ...whole, samples: { ...whole.samples, length: SAMPLES } };

const sizes: number[] = [];
for (let flush = 0; flush < FLUSHES; flush++) {
  const startTime = unixTime(profile.startTime + BigInt(flush) * 10n ** 10n);
  running.accept({ ...profile, startTime });
  await new Promise((resolve) => setTimeout(resolve, FLUSH_MS));
  if (flush % 10 < 9) continue;
  // What V8 has not collected yet says nothing about what is kept.
  globalThis.gc?.();
  sizes.push(process.memoryUsage.rss());
}
const { queueSize, queueBytes, sent, sendFailed } = running.stats();
// Once it is steady: the last third.
const late = sizes.slice((2 * sizes.length) / 3).sort((a, b) => a - b);
const result = {
  rssBytes: late[late.length >> 1],
  mostBytes: Math.max(...sizes),
  queueSize,
  queueBytes,
  sent,
  sendFailed,
};
rmSync(directory, { recursive: true, force: true });
process.stdout.write(`${JSON.stringify(result)}\n`);
process.exit(0);
