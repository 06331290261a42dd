import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { loadAddon } from '../capture/addon.ts';
import { ChunkKind, RecordingWriter } from '../capture/recording.ts';
import { ElfImage } from '../elf/image.ts';
import { MemorySource } from '../elf/source.ts';
import { LiveHost, type ProcessHost } from '../process/host.ts';
import { PATIENT_WAIT_LIMITS } from '../process/wait-budget.ts';
import { hostPid } from '../units/units.ts';
import type { Snapshot } from './messages.ts';
import { startReplay } from './replay.ts';
import { RecordingHost, ReplayHost } from './snapshot-host.ts';

const folder = mkdtempSync(join(tmpdir(), 'flametap-snapshot-'));
after(() => rmSync(folder, { recursive: true }));

const pid = hostPid(4242);
const live = new LiveHost(loadAddon(), undefined, PATIENT_WAIT_LIMITS);

/** A machine whose process 4242 answers as told, once per question. */
function machine(starts: (number | undefined)[], texts: (string | Error)[]): ProcessHost {
  return Object.assign(Object.create(live) as ProcessHost, {
    startTime: () => starts.shift(),
    readMaps: () => {
      const text = texts.shift();
      if (text instanceof Error) throw text;
      return text ?? '';
    },
  });
}

/** What a tracker would ask, and was told. */
function ask(host: ProcessHost): string {
  const started = host.startTime(pid);
  if (started === undefined) return 'gone';
  try {
    return `${started} ${host.readMaps(pid)}`;
  } catch {
    return 'unreadable';
  }
}

test('a replay is told what the live run was told, in its order', () => {
  const snapshots: Snapshot[] = [];
  const recording = new RecordingHost(
    machine([10, undefined, 10, 20], ['first', new Error('EACCES'), 'second']),
    (snapshot) => snapshots.push(structuredClone(snapshot)),
  );
  assert.deepEqual(
    [ask(recording), ask(recording), ask(recording), ask(recording)],
    ['10 first', 'gone', 'unreadable', '20 second'],
  );
  const replay = new ReplayHost(live, snapshots);
  // Unreadable or gone: neither has mappings.
  assert.deepEqual(
    [ask(replay), ask(replay), ask(replay), ask(replay), ask(replay)],
    ['10 first', 'gone', 'gone', '20 second', 'gone'],
  );
  assert.equal(replay.startTime(hostPid(1)), undefined);
});

test('the vDSO of a process that is gone is taken from this one', () => {
  const bytes = new ReplayHost(live, []).readVdso(pid, 0x7fff_0000_0000, 8192).slice();
  const image = ElfImage.parse(new MemorySource(bytes));
  assert.ok(image.textSize > 0);
});

test('recordings whose words are not what they should be: an error that names the file', async () => {
  const path = join(folder, 'recording');
  const options = { threads: false, maxDepth: 64 } as Parameters<typeof startReplay>[0];
  const about = { hz: 99, startTime: '1', host: 'h', labels: [] };
  for (const odd of [
    {},
    { ...about, hz: 0 },
    { ...about, hz: 'x' },
    { ...about, startTime: '1e9' },
  ]) {
    new RecordingWriter(path, odd as typeof about).close();
    await assert.rejects(startReplay(options, path), (error: Error) =>
      error.message.includes(path),
    );
  }
  const writer = new RecordingWriter(path, about);
  writer.write(ChunkKind.Snapshot, new TextEncoder().encode('{"pid":'));
  writer.close();
  await assert.rejects(startReplay(options, path), (error: Error) => error.message.includes(path));
  writeFileSync(path, '');
  await assert.rejects(startReplay(options, path), (error: Error) => error.message.includes(path));
});
