import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { CommandError } from './errors.ts';
import { openOutput, streamOutput } from './output-file.ts';

const folder = mkdtempSync(join(tmpdir(), 'flametap-output-'));
after(() => rmSync(folder, { recursive: true, force: true }));

test('a file appears whole, and the old one stays until then', async () => {
  const path = join(folder, 'whole');
  writeFileSync(path, 'old');
  const output = await openOutput(path);
  assert.equal(readFileSync(path, 'utf8'), 'old');
  assert.equal(await output.write(['né', Uint8Array.of(33)]), 4);
  assert.equal(readFileSync(path, 'utf8'), 'né!');
});

test('what is abandoned leaves nothing behind', async () => {
  const place = join(folder, 'abandoned');
  mkdirSync(place);
  await (await openOutput(join(place, 'file'))).abandon();
  assert.deepEqual(readdirSync(place), []);
});

test('an encoder that fails leaves nothing behind and keeps its own error', async () => {
  const place = join(folder, 'failing');
  mkdirSync(place);
  const output = await openOutput(join(place, 'file'));
  const pieces = (function* () {
    yield 'half';
    throw new TypeError('a bug');
  })();
  await assert.rejects(output.write(pieces), { name: 'TypeError', message: 'a bug' });
  assert.deepEqual(readdirSync(place), []);
});

test('a path that cannot be written is known before any sampling', async () => {
  await assert.rejects(openOutput('/nonexistent/file'), {
    name: 'CommandError',
    message: 'cannot write /nonexistent/file: no such file or directory',
  });
  await assert.rejects(openOutput(folder), {
    message: `cannot write ${folder}: it is a directory`,
  });
  await assert.rejects(openOutput('/proc/version/x'), CommandError);
});

test('a full disk leaves the old file and no half-written one', async () => {
  const place = join(folder, 'full');
  mkdirSync(place);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'flametap-test', place]);
  try {
    const path = join(place, 'file');
    writeFileSync(path, 'old');
    const output = await openOutput(path);
    await assert.rejects(output.write(['x'.repeat(200_000)]), {
      message: `cannot write ${path}: no space left on the device`,
    });
    assert.deepEqual(readdirSync(place), ['file']);
    assert.equal(readFileSync(path, 'utf8'), 'old');
    writeFileSync(join(place, 'filler'), 'x'.repeat(15 * 4096));
    await assert.rejects(openOutput(path), /no space left on the device/);
    assert.deepEqual(readdirSync(place).sort(), ['file', 'filler']);
  } finally {
    execFileSync('umount', [place]);
  }
});

test('a link is followed, a device is written in place', async () => {
  const target = join(folder, 'target');
  const link = join(folder, 'link');
  writeFileSync(target, 'old');
  symlinkSync(target, link);
  await (await openOutput(link)).write(['new']);
  assert.equal(readFileSync(target, 'utf8'), 'new');
  await (await openOutput('/dev/null')).write(['gone']);
  await assert.rejects((await openOutput('/dev/full')).write(['x']), /no space left/);
});

test('a reader that has gone away is an error, not a crash', async () => {
  const output = streamOutput({
    isTTY: false,
    write: () => Promise.reject(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' })),
  });
  await assert.rejects(output.write(['x']), { name: 'CommandError' });
});

test('a profile is for its owner alone, unless it is said otherwise, whatever was there', async (context) => {
  const before = process.umask(0);
  context.after(() => process.umask(before));
  const path = join(folder, 'private');
  const mode = () => statSync(path).mode & 0o777;
  writeFileSync(path, 'old', { mode: 0o666 });
  await (await openOutput(path)).write(['new']);
  assert.equal(mode(), 0o600);
  process.umask(0o077);
  await (await openOutput(path, 0o644)).write(['new']);
  assert.equal(mode(), 0o644);
});

test('what sudo writes into a folder of its caller belongs to the caller, and nothing else does', async (context) => {
  if (process.geteuid?.() !== 0) return context.skip('needs root');
  Object.assign(process.env, { SUDO_UID: '12345', SUDO_GID: '54321' });
  context.after(() => {
    delete process.env.SUDO_UID;
    delete process.env.SUDO_GID;
  });
  const theirs = join(folder, 'theirs');
  mkdirSync(theirs);
  chownSync(theirs, 12345, 54321);
  const inTheirs = join(theirs, 'file');
  await (await openOutput(inTheirs)).write(['x']);
  const inOurs = join(folder, 'ours');
  await (await openOutput(inOurs)).write(['x']);
  const owner = (path: string) => [
    statSync(path).uid,
    statSync(path).gid,
    statSync(path).mode & 0o777,
  ];
  assert.deepEqual(owner(inTheirs), [12345, 54321, 0o600]);
  assert.deepEqual(owner(inOurs), [0, process.getgid!(), 0o600]);
});
