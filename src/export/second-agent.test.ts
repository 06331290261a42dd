import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import {
  Backend,
  balanced,
  DELIVERED,
  DOWN,
  openExporter,
  profileOf,
  SETTINGS,
} from './backend.test-support.ts';
import type { ExporterSettings } from './exporter.ts';
import { SimulatedClock, settled } from './simulated-clock.test-support.ts';

const HOUR = 3_600_000;

describe('a second agent on the same queue', () => {
  function agents(context: TestContext, settings: Partial<ExporterSettings> = {}) {
    const directory = mkdtempSync(join(tmpdir(), 'flametap-second-'));
    context.after(() => rmSync(directory, { recursive: true }));
    const clock = new SimulatedClock();
    const queue = { ...SETTINGS.queue, directory };
    const open = () => {
      const warnings: string[] = [];
      const backend = new Backend();
      backend.answer = () => DOWN;
      const warn = (cause: string, message: string) => void warnings.push(`${cause}: ${message}`);
      const exporter = openExporter(backend, { clock, warn }, { queue, ...settings });
      return { exporter, backend, warnings };
    };
    return { clock, open };
  }

  test('says whose it is, goes on in memory, and takes it over when the first ends', async (context) => {
    const { clock, open } = agents(context);
    const first = open();
    first.exporter.accept(profileOf('first 1', 'first 2'));
    const second = open();
    const said = new RegExp(
      `^queue_in_memory: .* in use by another agent .process ${process.pid}.`,
    );
    assert.match(second.warnings[0]!, said);
    second.exporter.accept(profileOf('second 1', 'second 2'));
    await clock.advance(25_000);
    assert.equal(second.exporter.stats().queueOnDisk, false);
    assert.deepEqual(
      new Set(second.warnings.map((one) => one.split(':')[0])),
      new Set(['queue_in_memory', 'send_failed']),
    );
    await first.exporter.close(0);
    await clock.advance(10_000);
    const { queueOnDisk, recovered, queueSize } = balanced(second.exporter.stats());
    assert.deepEqual(
      { queueOnDisk, recovered, queueSize },
      { queueOnDisk: true, recovered: 2, queueSize: 4 },
    );
    second.exporter.accept(profileOf('second 3'));
    await second.exporter.close(0);
    assert.deepEqual(balanced(second.exporter.stats()).dropped, {}, 'nothing was in memory only');

    const third = open();
    third.backend.answer = () => DELIVERED;
    await clock.advance(10_000);
    assert.deepEqual(third.backend.received, [
      'first 1',
      'first 2',
      'second 1',
      'second 2',
      'second 3',
    ]);
    balanced(third.exporter.stats());
    await third.exporter.close(0);
  });

  test('what it has on its way then is not sent twice, in parts or whole', async (context) => {
    const { clock, open } = agents(context, { timeoutMs: HOUR });
    const first = open();
    first.exporter.accept(profileOf('first'));
    const second = open();
    let answer = Promise.withResolvers<typeof DELIVERED | typeof DOWN>();
    second.backend.answer = (request) =>
      request.includes(' ') ? { kind: 'too_large', message: '' } : answer.promise;
    second.exporter.accept(profileOf('a b', 'c'));
    await first.exporter.close(0);
    await clock.advance(15_000);
    assert.equal(second.exporter.stats().queueOnDisk, false, 'a is on its way');
    answer.resolve(DELIVERED);
    answer = Promise.withResolvers();
    await settled();
    assert.equal(second.exporter.stats().queueOnDisk, false, 'b is of the same request');
    answer.resolve(DOWN);
    await settled();
    assert.equal(second.exporter.stats().queueOnDisk, false);
    second.backend.answer = () => DELIVERED;
    await clock.advance(10_000);
    assert.deepEqual(second.backend.received, ['a', 'b', 'first', 'c']);
    const { queueOnDisk, sent, split, dropped } = balanced(second.exporter.stats());
    assert.deepEqual(
      { queueOnDisk, sent, split, dropped },
      { queueOnDisk: true, sent: 4, split: 1, dropped: {} },
    );
    await second.exporter.close(0);
  });

  test('one that is stopped just after the first has ended leaves nothing in memory', async (context) => {
    const { open } = agents(context);
    const first = open();
    first.exporter.accept(profileOf('first'));
    const second = open();
    second.exporter.accept(profileOf('second'));
    await first.exporter.close(0);
    await second.exporter.close(0);
    const { dropped, queueSize } = balanced(second.exporter.stats());
    assert.deepEqual({ dropped, queueSize }, { dropped: {}, queueSize: 2 });
  });

  test('one that never gets it counts what it loses at its end', async (context) => {
    const { clock, open } = agents(context);
    const first = open();
    const second = open();
    second.exporter.accept(profileOf('a', 'b'));
    await clock.advance(HOUR);
    await second.exporter.close(0);
    assert.deepEqual(balanced(second.exporter.stats()).dropped, { shutdown: 2 });
    await first.exporter.close(0);
    assert.equal(clock.pending, 0);
  });
});
