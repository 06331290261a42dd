import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { exampleProfile } from '../viewer/example-profile.test-support.ts';
import { CommandError } from './errors.ts';
import { ProfileFolder } from './profile-folder.ts';

const root = mkdtempSync(join(tmpdir(), 'flametap-folder-'));
after(() => rmSync(root, { recursive: true, force: true }));

const START = 1_790_000_000_000;
const profileAt = (place: number) =>
  exampleProfile({ seed: 1, samples: 50, seconds: 10, startMs: START + place * 10_000 });

test('the oldest files go when there is too much; others’ files are left alone', async () => {
  const path = join(root, 'bytes');
  const first = await ProfileFolder.open(path, 'x', { maxBytes: 1e9, maxAge: 0 });
  writeFileSync(join(path, 'mine.pb.gz'), '');
  for (const place of [0, 1, 2]) await first.write(profileAt(place));
  const names = readdirSync(path).filter((name) => name.startsWith('flametap-'));
  assert.equal(names.length, 3);
  const { size } = statSync(join(path, names[0]!));
  const second = await ProfileFolder.open(path, 'x', { maxBytes: size * 2.5, maxAge: 0 });
  await second.write(profileAt(3));
  const kept = readdirSync(path).sort();
  assert.equal(kept.length, 3, kept.join());
  assert.deepEqual(kept.slice(0, 1), [names.sort()[2]]);
  assert.ok(kept.includes('mine.pb.gz'));
});

test('files that are too old go', async () => {
  const path = join(root, 'age');
  const folder = await ProfileFolder.open(path, 'x', { maxBytes: 1e9, maxAge: 60_000 });
  await folder.write(profileAt(0));
  const [old] = readdirSync(path);
  utimesSync(join(path, old!), 1, 1);
  await folder.write(profileAt(1));
  assert.equal(readdirSync(path).length, 1);
  assert.ok(!readdirSync(path).includes(old!));
});

test('a folder that cannot be made names the key', async () => {
  const limits = { maxBytes: 1, maxAge: 0 };
  await assert.rejects(
    ProfileFolder.open('/proc/none/x', 'exporters.0.files', limits),
    (error) => error instanceof CommandError && error.message.startsWith('exporters.0.files: '),
  );
});
