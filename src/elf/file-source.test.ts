import assert from 'node:assert/strict';
import { constants, openSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { after, test } from 'node:test';
import { BlockCache } from './block-cache.ts';
import { FileSource } from './file-source.ts';
import { ParseError } from './source.ts';
import { scratchDirectory } from './testdata/programs.ts';
import { seeded } from './testdata/seeded.ts';

const scratch = scratchDirectory();
after(() => scratch.remove());
const refusal = (reason: string) => (error: unknown) =>
  error instanceof ParseError && error.reason === reason;

test('any range reads as the file has it, across blocks and after evictions', () => {
  const source = new FileSource(openSync(process.execPath, 'r'));
  const whole = readFileSync(process.execPath);
  const random = seeded(11);
  assert.equal(source.size, whole.length);
  for (let n = 0; n < 3000; n++) {
    const length = random(n % 100 === 0 ? 300_000 : 5000);
    const offset = random(source.size - length + 1);
    const read = source.read(offset, length);
    assert.equal(whole.compare(read, 0, length, offset, offset + length), 0);
  }
  source.close();
});

test('ranges outside the file are refused', () => {
  const path = `${scratch.path}/small`;
  writeFileSync(path, 'small');
  const source = new FileSource(openSync(path, 'r'));
  assert.equal(source.read(5, 0).length, 0);
  for (const [offset, length] of [
    [0, 6],
    [6, 0],
    [-1, 2],
    [0, -1],
    [Number.NaN, 1],
    [2 ** 60, 1],
  ]) {
    assert.throws(() => source.read(offset!, length!), refusal('out_of_bounds'));
  }
  source.close();
});

test('a file that became shorter is reported, not padded', () => {
  const path = `${scratch.path}/shrinking`;
  writeFileSync(path, new Uint8Array(200_000));
  const source = new FileSource(openSync(path, 'r'));
  source.read(0, 10);
  truncateSync(path, 1000);
  assert.throws(() => source.read(150_000, 10), refusal('file_changed'));
  assert.throws(() => source.read(0, 200_000), refusal('file_changed'));
  source.close();
});

test('a closed file is not read', () => {
  const source = new FileSource(openSync(process.execPath, 'r'));
  source.read(0, 10);
  source.close();
  source.close();
  assert.throws(() => source.read(0, 10), refusal('closed'));
});

test('only regular files', () => {
  for (const path of ['/dev/zero', '/dev', '/proc/self/fd']) {
    const fd = openSync(path, constants.O_RDONLY);
    assert.throws(() => new FileSource(fd), refusal('not_regular'), path);
  }
});

test('a shared cache keeps files apart and forgets a closed one', () => {
  const cache = new BlockCache(2);
  const sources = ['a', 'b', 'c'].map((name) => {
    writeFileSync(`${scratch.path}/${name}`, name.repeat(50_000));
    return new FileSource(openSync(`${scratch.path}/${name}`, 'r'), cache);
  });
  for (const offset of [0, 20_000, 0, 40_000]) {
    for (const [index, source] of sources.entries()) {
      assert.equal(String.fromCharCode(source.read(offset, 1)[0]!), 'abc'[index]);
    }
  }
  sources[2]!.close();
  assert.throws(() => sources[2]!.read(40_000, 1), refusal('closed'));
  assert.equal(sources[0]!.read(49_999, 1)[0], 97);
});
