import assert from 'node:assert/strict';
import {
  chmodSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import {
  newToken,
  readToken,
  removeToken,
  tokenPath,
  tokenPaths,
  writeToken,
} from './token-file.ts';

const folder = mkdtempSync(join(tmpdir(), 'flametap-token-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const modeOf = (path: string) => statSync(path).mode & 0o777;

test('root keeps it where only root can write, others in their own runtime folder or nowhere', () => {
  assert.equal(tokenPath(7099, { uid: 0, runtimeFolder: '/tmp/x' }), '/run/flametap/7099.token');
  const own = { uid: 1000, runtimeFolder: '/run/user/1000' };
  assert.equal(tokenPath(7099, own), '/run/user/1000/flametap/7099.token');
  assert.equal(tokenPath(7099, { uid: 1000, runtimeFolder: undefined }), undefined);
  assert.equal(tokenPath(7099, { uid: 1000, runtimeFolder: 'relative' }), undefined);
  assert.deepEqual(tokenPaths(1, own), [
    '/run/flametap/1.token',
    '/run/user/1000/flametap/1.token',
  ]);
});

test('the file and its folder are for their owner alone, whatever the umask is', () => {
  const before = process.umask(0);
  try {
    const path = join(folder, 'open', '1.token');
    const token = newToken();
    writeToken(path, token);
    assert.deepEqual([modeOf(join(folder, 'open')), modeOf(path)], [0o700, 0o600]);
    assert.equal(readToken(path), token);
    assert.ok(token.length >= 32);
    assert.notEqual(newToken(), token);
  } finally {
    process.umask(before);
  }
});

test('a link or a file that stood there is replaced, never written to', () => {
  const own = join(folder, 'links');
  mkdirSync(own, { mode: 0o700 });
  const victim = join(folder, 'victim');
  writeFileSync(victim, 'precious', { mode: 0o644 });
  for (const make of [symlinkSync, linkSync]) {
    const path = join(own, `${make.name}.token`);
    make(victim, path);
    writeToken(path, 'secret-secret-secret');
    assert.equal(readFileSync(victim, 'utf8'), 'precious');
    assert.equal(statSync(victim).mode & 0o777, 0o644);
    assert.deepEqual([readToken(path), modeOf(path)], ['secret-secret-secret', 0o600]);
  }
});

test('a folder that others can write to, or that is a link, is refused', () => {
  const shared = join(folder, 'shared');
  mkdirSync(shared);
  chmodSync(shared, 0o777);
  assert.throws(() => writeToken(join(shared, '1.token'), 'x'), /others can write to .*chmod go-w/);
  symlinkSync(join(folder, 'links'), join(folder, 'alias'));
  assert.throws(() => writeToken(join(folder, 'alias', '1.token'), 'x'), /is not a folder/);
  assert.throws(() => writeToken(join(folder, 'links', '2.token'), 'x', 4_242), /belongs to user/);
});

test('only its own token is removed at the end, and what is no token is not read', () => {
  const path = join(folder, 'open', '2.token');
  writeToken(path, 'of-the-other-agent');
  removeToken(path, 'mine');
  assert.equal(readToken(path), 'of-the-other-agent');
  removeToken(path, 'of-the-other-agent');
  assert.throws(() => readToken(path), { code: 'ENOENT' });
  removeToken(path, 'x');
  writeFileSync(path, 'x'.repeat(5_000));
  assert.throws(() => readToken(path), /longer than 1024 bytes/);
  assert.throws(() => readToken(folder), /is not a file|EISDIR/);
});
