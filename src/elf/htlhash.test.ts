import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { htlHash } from './htlhash.ts';
import { MemorySource } from './source.ts';

/** The definition with the tools of the system: head, tail, and the length in 8 bytes. */
function byShell(path: string): string {
  const length = `perl -e 'print pack q(Q>), -s shift' "$1"`;
  const script = `{ head -c 4096 "$1"; tail -c 4096 "$1"; ${length}; } | sha256sum`;
  return execFileSync('sh', ['-c', script, 'sh', path], { encoding: 'utf8' }).slice(0, 32);
}

test('files are hashed as the convention says', () => {
  for (const path of [process.execPath, '/bin/true', '/etc/hostname', '/etc/passwd']) {
    assert.equal(htlHash(new MemorySource(readFileSync(path))), byShell(path), path);
  }
});

test('head and tail of a short file overlap', () => {
  // printf '\0\0\0\0\0\0\0\0' | sha256sum
  assert.equal(htlHash(new MemorySource(new Uint8Array())), 'af5570f5a1810b7af78caf4bc70a660f');
  const [a, b] = [new Uint8Array(4096), new Uint8Array(4097)].map((bytes) =>
    htlHash(new MemorySource(bytes)),
  );
  assert.notEqual(a, b);
});
