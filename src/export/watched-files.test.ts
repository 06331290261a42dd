import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { WatchedFiles } from './watched-files.ts';

test('files are read again when they are others, and only then', (context) => {
  const folder = mkdtempSync(join(tmpdir(), 'flametap-watched-'));
  context.after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'secret');
  const files = new WatchedFiles();
  assert.throws(() => files.read(path), { code: 'ENOENT' });
  writeFileSync(path, 'one');
  const first = files.read(path);
  assert.equal(files.read(path), first, 'the same bytes');
  writeFileSync(path, 'second');
  assert.equal(files.read(path).toString(), 'second');
});
