/** What a running agent says of itself agrees with what it did. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import {
  type ParsedFamily,
  parseExposition,
  sampleValue,
} from '../../src/telemetry/strict-exposition.test-support.ts';
import { startAgent, sumOfProfiles } from '../harness/agent.ts';
import { sampleValues, sumOfValues } from '../harness/otlp-samples.ts';
import { buildProgram } from '../harness/programs.ts';
import { pause } from '../harness/record.ts';

const folder = mkdtempSync(join(tmpdir(), 'observed-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const sumOf = (family: ParsedFamily | undefined, wanted: RegExp): number =>
  [...(family?.samples ?? [])].reduce(
    (sum, [labels, value]) => (wanted.test(labels) ? sum + value : sum),
    0,
  );

test('metrics count every sample that the log and the files have', async () => {
  const directory = join(folder, 'profiles');
  const agent = await startAgent(folder, {
    capture: { hz: 199 },
    profile: { interval: '1s' },
    exporters: [{ files: { directory, format: 'otlp' } }],
  });
  const busy = spawn(buildProgram('chain'), ['3', '2'], { stdio: 'ignore' });
  const busyEnded = new Promise((resolve) => busy.once('close', resolve));
  try {
    const probe = async (path: string): Promise<number> => (await fetch(agent.url + path)).status;
    assert.equal(await probe('healthz'), 200);
    for (let i = 0; (await probe('readyz')) !== 200; i++) {
      assert.ok(i < 1200, 'never ready');
      await pause(50);
    }
    assert.ok(
      agent.log.some(({ msg }) => msg === 'profile'),
      'ready before the first profile',
    );
    await busyEnded;

    const response = await fetch(`${agent.url}metrics`);
    const logged = sumOfProfiles(agent.log, 'taken');
    const families = parseExposition(await response.text());
    const taken = sumOf(families.get('flametap_samples_total'), /./);
    // One profile may have been made and not been logged here yet, or the other way round.
    const more = sumOfProfiles(agent.log, 'taken');
    assert.ok(taken >= logged || more >= taken, `${taken} taken, ${logged} to ${more} logged`);
    assert.ok(taken > 3 * 199, `${taken} samples`);
    const frames = families.get('flametap_frames_total');
    assert.ok(sumOf(frames, /type="native",named="true"/) > 1000);
    assert.equal(sampleValue(families, 'flametap_sampling_hz'), 199);
    assert.ok(sampleValue(families, 'flametap_processes') > 1);
    assert.ok(sampleValue(families, 'flametap_unwind_tables_bytes') > 1000);
    const cpu = (where: string) =>
      sampleValue(families, 'flametap_cpu_seconds_total', `{where="${where}"}`);
    assert.ok(cpu('user') > 0.01 && cpu('user') < 20, String(cpu('user')));
    // Root may measure it: some microseconds for each sample.
    assert.ok(cpu('kernel') > taken * 1e-6 && cpu('kernel') < taken * 1e-3, String(cpu('kernel')));
    const memory = (where: string) =>
      sampleValue(families, 'flametap_memory_bytes', `{where="${where}"}`);
    assert.ok(memory('rss') > 2e7 && memory('maps') > 1e5);
    assert.ok(sampleValue(families, 'flametap_exporter_sent_total', '{exporter="files"}') >= 1);
  } finally {
    busy.kill();
    assert.equal(await agent.stop(), 0);
  }
  const files = readdirSync(directory).map((name) => readFileSync(join(directory, name)));
  assert.equal(sumOfValues(sampleValues(files)), sumOfProfiles(agent.log, 'exported'));
});

test('a cause is told once, and a folder that is gone holds up nothing', async () => {
  const gone = join(folder, 'gone');
  const agent = await startAgent(folder, {
    // The largest: what is drained at once must hold it.
    capture: { ring_bytes_per_cpu: '8MiB' },
    profile: { interval: '200ms' },
    exporters: [{ files: { name: 'lost', directory: gone } }],
  });
  rmSync(gone, { recursive: true });
  // A file in its place: neither can be made.
  writeFileSync(gone, '');
  try {
    for (let i = 0; agent.log.filter(({ msg }) => msg === 'profile').length < 6; i++) {
      assert.ok(i < 1200, 'profiles do not come any more');
      await pause(50);
    }
    const families = parseExposition(await (await fetch(`${agent.url}metrics`)).text());
    assert.ok(sampleValue(families, 'flametap_exporter_queue_size', '{exporter="lost"}') >= 1);
    assert.ok(
      sampleValue(families, 'flametap_exporter_send_failed_total', '{exporter="lost"}') >= 1,
    );
    const told = agent.log.filter(
      ({ exporter, cause }) => exporter === 'lost' && cause !== undefined,
    );
    assert.equal(told.length, 1, JSON.stringify(told));
  } finally {
    assert.equal(await agent.stop(), 0);
  }
  const lost = agent.log.filter(
    ({ msg }) => msg === 'requests could not be sent before the agent ended, and are lost',
  );
  assert.equal(lost.length, 1);
});
