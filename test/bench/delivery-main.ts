/**
 * Profiles through queue and sender to a receiver on loopback, in a process of
 * its own: prints figures as JSON. `delivery.ts` starts it, with the receiver's URL.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { destinationOf, settingsOf } from '../../src/agent/destinations.ts';
import { loadConfig } from '../../src/config/load.ts';
import { Exporter } from '../../src/export/exporter.ts';
import type { Profile } from '../../src/profile/model.ts';
import { unixTime } from '../../src/units/units.ts';
import { largeProfile } from './large-profile.ts';

const PROFILES = 40;
const WARM_UP = 8;

const [url = '', compression = 'gzip'] = process.argv.slice(2);
const directory = mkdtempSync(join(tmpdir(), 'bench-queue-'));

const exporter = {
  otlp: { endpoint: url, protocol: 'http/protobuf', compression, queue: { directory } },
};
const [planned] = loadConfig({
  file: undefined,
  environment: {},
  sets: [`exporters=${JSON.stringify([exporter])}`],
}).config.exporters;
const running = Exporter.open(destinationOf(planned!, {}), settingsOf(planned!), {
  warn: (cause, message) => process.stderr.write(`${cause}: ${message}\n`),
});

/** Until all that was accepted has arrived. */
async function arrived(): Promise<void> {
  while (running.stats().queueSize > 0) await new Promise((resolve) => setTimeout(resolve, 1));
}

async function send(profile: Profile, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    running.accept({ ...profile, startTime: unixTime(profile.startTime + BigInt(i) * 10n ** 10n) });
    // As an agent: what one interval brought is away before the next one ends.
    await arrived();
  }
}

const profile = largeProfile();
await send(profile, WARM_UP);
const bytesBefore = running.stats().requestBytes;
const cpuBefore = process.cpuUsage();
const start = performance.now();
await send(profile, PROFILES);
const { user, system } = process.cpuUsage(cpuBefore);
const stats = running.stats();
const result = {
  rows: profile.samples.length * PROFILES,
  bytes: stats.requestBytes - bytesBefore,
  cpuSeconds: (user + system) / 1e6,
  wallSeconds: (performance.now() - start) / 1000,
  sent: stats.sent,
  lost: Object.values(stats.dropped).reduce((sum, count) => sum + count, 0),
};
await running.close(1_000);
rmSync(directory, { recursive: true, force: true });
process.stdout.write(`${JSON.stringify(result)}\n`);
process.exit(0);
