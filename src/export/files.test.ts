import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { Profile as Pprof } from 'pprof-format';
import { buildProfile, plainSample } from '../profile/fixture.test-support.ts';
import type { Profile } from '../profile/model.ts';
import { encodeOtlp } from '../profile/otlp.ts';
import { encodePprof } from '../profile/pprof.ts';
import { unixTime } from '../units/units.ts';
import { type FilesSettings, filesDestination } from './files.ts';
import type { Outcome } from './transport.ts';

const START_MS = Date.parse('2026-11-21T11:55:10.123Z');
const signal = new AbortController().signal;
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'flametap-files-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function settings(changes: Partial<FilesSettings> = {}): FilesSettings {
  return {
    name: 'files',
    directory: folder,
    format: 'pprof',
    maxBytes: Number.POSITIVE_INFINITY,
    maxAgeMs: Number.POSITIVE_INFINITY,
    now: () => START_MS + 60_000,
    ...changes,
  };
}

function profileAt(ms: number, weight = 1): Profile {
  const profile = buildProfile([{ ...plainSample, weight }]);
  return { ...profile, startTime: unixTime(BigInt(ms) * 1_000_000n + 7n) };
}

async function write(profile: Profile, changes: Partial<FilesSettings> = {}) {
  const destination = filesDestination(settings(changes));
  const [request] = [...destination.encode(profile)];
  return destination.transport.send(request!, signal);
}

function mendable(outcome: Outcome, reason: RegExp): void {
  assert.ok(outcome.kind === 'retry' && outcome.fault === 'local_file', JSON.stringify(outcome));
  assert.match(outcome.reason, reason);
  assert.match(outcome.mend ?? '', /\{directory\}/);
}

const delivered = { kind: 'delivered', rejected: 0, message: '' };

test('a profile becomes a gzipped pprof file that is named after its start', async () => {
  const profile = profileAt(START_MS);
  assert.deepEqual(await write(profile), delivered);
  assert.deepEqual(readdirSync(folder), ['flametap-2026-11-21T11-55-10.123Z.pb.gz']);
  const file = readFileSync(join(folder, 'flametap-2026-11-21T11-55-10.123Z.pb.gz'));
  assert.deepEqual(file, Buffer.from(encodePprof(profile)));
  assert.equal(Pprof.decode(gunzipSync(file)).timeNanos, profile.startTime);
});

test('or an OTLP request', async () => {
  const profile = profileAt(START_MS);
  assert.deepEqual(await write(profile, { format: 'otlp' }), delivered);
  const file = readFileSync(join(folder, 'flametap-2026-11-21T11-55-10.123Z.otlp'));
  assert.deepEqual(file, Buffer.from(encodeOtlp(profile)));
});

test('the same request again is the same file; another profile of that millisecond gets another name', async () => {
  await write(profileAt(START_MS));
  await write(profileAt(START_MS));
  assert.equal(readdirSync(folder).length, 1);
  await write(profileAt(START_MS, 2));
  assert.deepEqual(readdirSync(folder).sort(), [
    'flametap-2026-11-21T11-55-10.123Z-1.pb.gz',
    'flametap-2026-11-21T11-55-10.123Z.pb.gz',
  ]);
});

test('the oldest go when the bytes are used up', async () => {
  const size = encodePprof(profileAt(START_MS)).length;
  for (let i = 0; i < 5; i++) await write(profileAt(START_MS + i), { maxBytes: 3 * size + 20 });
  assert.deepEqual(readdirSync(folder).sort(), [
    'flametap-2026-11-21T11-55-10.125Z.pb.gz',
    'flametap-2026-11-21T11-55-10.126Z.pb.gz',
    'flametap-2026-11-21T11-55-10.127Z.pb.gz',
  ]);
});

test('and when they are too old', async () => {
  await write(profileAt(START_MS));
  await write(profileAt(START_MS + 30_000));
  await write(profileAt(START_MS + 60_000), { maxAgeMs: 40_000 });
  assert.equal(readdirSync(folder).length, 2);
  assert.ok(!readdirSync(folder).includes('flametap-2026-11-21T11-55-10.123Z.pb.gz'));
});

test('what is not ours is neither removed nor counted', async () => {
  const foreign = [
    'flametap.pb.gz',
    'flametap-2020-01-01.pb.gz',
    'flametap-2020-01-01T00-00-00.000Z.pb.gz.bak',
    'flametap-2020-99-01T00-00-00.000Z.pb.gz',
    'notes.txt',
    '.flametap-2020-01-01T00-00-00.000Z.pb.gz.x.tmp',
  ];
  for (const name of foreign) writeFileSync(join(folder, name), Buffer.alloc(10_000));
  mkdirSync(join(folder, 'flametap-2020-01-01T00-00-00.000Z.pb.gz'));
  symlinkSync('notes.txt', join(folder, 'flametap-2020-01-01T00-00-00.001Z.pb.gz'));
  for (let i = 0; i < 3; i++)
    await write(profileAt(START_MS + i), { maxBytes: 1000, maxAgeMs: 1000 });
  const left = readdirSync(folder);
  for (const name of foreign) assert.ok(left.includes(name), name);
  assert.ok(left.includes('flametap-2020-01-01T00-00-00.000Z.pb.gz'));
  assert.ok(left.includes('flametap-2020-01-01T00-00-00.001Z.pb.gz'));
  assert.equal(left.length, foreign.length + 3);
});

test('what a killed agent has left half-written is removed after a while', async () => {
  const old = join(folder, '.flametap-2026-11-21T11-00-00.000Z.pb.gz.4242.tmp');
  const recent = join(folder, '.flametap-2026-11-21T11-50-00.000Z.pb.gz.4242.tmp');
  writeFileSync(old, 'half');
  writeFileSync(recent, 'half');
  utimesSync(old, 0, START_MS / 1000 - 3600);
  utimesSync(recent, 0, START_MS / 1000 - 5);
  await write(profileAt(START_MS));
  assert.deepEqual(readdirSync(folder).sort(), [
    '.flametap-2026-11-21T11-50-00.000Z.pb.gz.4242.tmp',
    'flametap-2026-11-21T11-55-10.123Z.pb.gz',
  ]);
});

test('a profile that the folder can never hold is too large, and nothing is removed for it', async () => {
  await write(profileAt(START_MS));
  const outcome = await write(profileAt(START_MS + 1), { maxBytes: 100 });
  assert.equal(outcome.kind, 'too_large');
  assert.equal(readdirSync(folder).length, 1);
});

test('a folder that cannot be written is worth another attempt, and works once it is mended', async () => {
  const blocked = join(folder, 'file');
  writeFileSync(blocked, '');
  const refused = await write(profileAt(START_MS), { directory: blocked });
  mendable(refused, /^a part of the path is not a directory$/);
  rmSync(blocked);
  const deep = { directory: join(blocked, 'deep', 'er') };
  assert.deepEqual(await write(profileAt(START_MS), deep), delivered);
  const nowhere = await write(profileAt(START_MS), { directory: '/proc/flametap/profiles' });
  mendable(nowhere, /^no such file or directory$/);
});

test('a full disk is worth another attempt, and leaves nothing half-written', async () => {
  // A file system of 64 KiB. Without the right to mount there is no such disk to be had.
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', folder]);
  assert.equal(mounted.status, 0, String(mounted.stderr));
  try {
    const hog = join(folder, 'hog');
    writeFileSync(hog, Buffer.alloc(64 * 1024));
    mendable(await write(profileAt(START_MS)), /^no space left on the device$/);
    assert.deepEqual(readdirSync(folder), ['hog']);
    rmSync(hog);
    assert.deepEqual(await write(profileAt(START_MS)), delivered);
  } finally {
    spawnSync('umount', ['-l', folder]);
  }
});

test('requests at once are written one after the other', async () => {
  const destination = filesDestination(settings({ maxBytes: 1500 }));
  const requests = [1, 2, 3, 4].map((weight) => [
    ...destination.encode(profileAt(START_MS, weight)),
  ]);
  const outcomes = await Promise.all(
    requests.map(([request]) => destination.transport.send(request!, signal)),
  );
  for (const outcome of outcomes) assert.deepEqual(outcome, delivered);
  const sizes = readdirSync(folder).map((name) => readFileSync(join(folder, name)).length);
  assert.ok(sizes.reduce((sum, size) => sum + size, 0) <= 1500);
});

test('no write begins after the agent has given up', async () => {
  const destination = filesDestination(settings());
  const [request] = [...destination.encode(profileAt(START_MS))];
  const outcome = await destination.transport.send(request!, AbortSignal.abort());
  assert.deepEqual(outcome, { kind: 'retry', reason: 'cancelled' });
  assert.deepEqual(readdirSync(folder), []);
});

test('files are private, and so are folders made for them, unless the mode says otherwise', async (context) => {
  const before = process.umask(0);
  context.after(() => process.umask(before));
  const modeOf = (path: string) => statSync(path).mode & 0o777;
  for (const [mode, file, made] of [
    [undefined, 0o600, 0o700],
    [0o640, 0o640, 0o750],
    [0o644, 0o644, 0o755],
  ] as const) {
    for (const umask of [0, 0o077]) {
      process.umask(umask);
      const above = join(folder, `${mode}-${umask}`);
      const directory = join(above, 'below');
      const changes = mode === undefined ? { directory } : { directory, mode };
      assert.deepEqual(await write(profileAt(START_MS), changes), delivered);
      assert.equal(modeOf(above), made);
      assert.equal(modeOf(directory), made);
      const [name] = readdirSync(directory);
      assert.equal(modeOf(join(directory, name!)), file);
    }
  }
});

test('a folder that is there keeps its mode', async () => {
  chmodSync(folder, 0o755);
  assert.deepEqual(await write(profileAt(START_MS)), delivered);
  assert.equal(statSync(folder).mode & 0o777, 0o755);
});
