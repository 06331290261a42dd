import assert from 'node:assert/strict';
import { test } from 'node:test';
import { contextMappings, memoryAt } from './context-mapping.ts';

const MAPS = `5500000000-5500021000 r-xp 00000000 08:01 1234                            /usr/bin/app
5500021000-5500042000 rw-p 00000000 00:00 0                               [heap]
7f0000000000-7f0000001000 rw-p 00000000 00:01 2054                        /memfd:OTEL_CTX (deleted)
7f0000001000-7f0000002000 rw-p 00000000 00:00 0                           [anon:OTEL_CTX]
7f0000003000-7f0000004000 rw-p 00000000 00:01 2055                        [anon_shmem:OTEL_CTX]
7f0000005000-7f0000006000 rw-p 00000000 08:01 99                          /tmp/OTEL_CTX
7f0000006000-7f0000007000 rw-p 00000000 08:01 99                          /tmp/memfd:OTEL_CTX
7f0000007000-7f0000008000 rwxp 00000000 00:00 0                           [anon:OTEL_CTX]
7f0000008000-7f0000009000 ---p 00000000 00:00 0                           [anon:OTEL_CTX]
7f0000009000-7f000000a000 rw-p 00000000 08:01 99                          /tmp/x [anon:OTEL_CTX]
7f000000a000-7f000000b000 rw-p 00000000 00:00 0                           [anon:not OTEL_CTX]
7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0                           [stack]
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                   [vsyscall]
`;

test('a process context is found by its name in each of the three forms, and by nothing else', () => {
  assert.deepEqual(contextMappings(MAPS), [0x7f00_0000_0000, 0x7f00_0000_1000, 0x7f00_0000_3000]);
});

test('a list without one, an empty one, one without a newline at its end', () => {
  assert.deepEqual(contextMappings(''), []);
  assert.deepEqual(contextMappings(MAPS.replaceAll('OTEL_CTX', 'OTEL')), []);
  assert.deepEqual(contextMappings(MAPS.split('\n')[3]!), [0x7f00_0000_1000]);
});

test('a process that has thousands is not followed in all of them', () => {
  const line = MAPS.split('\n')[3]!;
  assert.equal(contextMappings(`${line}\n`.repeat(10_000)).length, 8);
});

test('what a range of addresses is', () => {
  assert.equal(memoryAt(MAPS, 0x55_0002_1000, 0x21000), 'own');
  assert.equal(memoryAt(MAPS, 0x7f00_0000_0ff0, 0x20), 'own', 'two mappings side by side');
  assert.equal(memoryAt(MAPS, 0x7f00_0000_3000, 1), 'own', 'a memfd with a name');
  assert.equal(memoryAt(MAPS, 0x7f00_0000_5000, 1), 'file');
  assert.equal(memoryAt(MAPS, 0x55_0002_0fff, 2), 'file', 'begins in a file');
  assert.equal(memoryAt(MAPS, 0x7f00_0000_1fff, 2), 'none', 'ends in a gap');
  assert.equal(memoryAt(MAPS, 8, 1), 'none');
  assert.equal(memoryAt(MAPS, 2 ** 53 - 2, 1), 'none');
  assert.equal(memoryAt('nonsense\n\n-', 8, 1), 'none');
});
