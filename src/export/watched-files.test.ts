import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { LocalFileError } from './local-file.ts';
import { readTls, WatchedFiles } from './watched-files.ts';

test('files are read again when they are others, and only then', (context) => {
  const folder = mkdtempSync(join(tmpdir(), 'flametap-watched-'));
  context.after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'secret');
  const files = new WatchedFiles();
  const read = () => files.read(path, 'bearer_token_file');
  assert.throws(read, {
    name: 'LocalFileError',
    message: `${path} cannot be read: no such file or directory`,
  });
  assert.equal(files.haveChanged, false);
  writeFileSync(path, 'one');
  assert.equal(files.haveChanged, true, 'it has come');
  const first = read();
  assert.equal(files.haveChanged, false);
  assert.equal(read(), first, 'the same bytes');
  writeFileSync(path, 'second');
  assert.equal(files.haveChanged, true);
  assert.equal(read().toString(), 'second');
  rmSync(path);
  assert.equal(files.haveChanged, true, 'it has gone');
});

test('a file of certificates that holds none is told, as OpenSSL would not', (context) => {
  const folder = mkdtempSync(join(tmpdir(), 'flametap-watched-'));
  context.after(() => rmSync(folder, { recursive: true }));
  const caFile = join(folder, 'ca.pem');
  writeFileSync(caFile, 'nonsense');
  assert.throws(
    () => readTls(new WatchedFiles(), { caFile, certFile: '', keyFile: '' }),
    (error) =>
      error instanceof LocalFileError &&
      error.failure.fault === 'local_file' &&
      /ca\.pem has no certificate in PEM/.test(error.message) &&
      /\{tls\.ca_file\}/.test(error.failure.mend ?? ''),
  );
});
