import assert from 'node:assert/strict';
import {
  appendFileSync,
  mkdtempSync,
  openSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { processAddress } from '../units/units.ts';
import { GrowingPerfMap, newChunk } from './growing-file.ts';

let directory = '';
before(() => {
  directory = mkdtempSync(join(tmpdir(), 'flametap-growing-'));
});
after(() => rmSync(directory, { recursive: true }));

const lines = (from: number, count: number, name: string): string =>
  Array.from(
    { length: count },
    (_, at) => `${(0x10_0000 + (from + at) * 16).toString(16)} 10 ${name}${from + at}\n`,
  ).join('');

function follow(name: string, content: string): { file: string; growing: GrowingPerfMap } {
  const file = join(directory, name);
  writeFileSync(file, content);
  const growing = new GrowingPerfMap(openSync(file, 'r'), newChunk());
  growing.readOn();
  return { file, growing };
}

const nameOf = ({ map }: GrowingPerfMap, number: number) =>
  map.lookup(processAddress(0x10_0000 + number * 16))?.line.name;

test('what is appended is taken in, and nothing twice', () => {
  const { file, growing } = follow('grows.map', lines(0, 1000, 'f'));
  for (let round = 1; round < 20; round++) {
    appendFileSync(file, lines(round * 1000, 1000, 'f'));
    growing.readOn();
    growing.readOn();
  }
  assert.equal(growing.map.size, 20_000);
  assert.equal(nameOf(growing, 19_999), 'f19999');
  growing.close();
});

test('a map that is written anew replaces what was read, also when it is longer than before', () => {
  const { file, growing } = follow('anew.map', lines(0, 1000, 'old'));
  writeFileSync(file, lines(500, 100, 'new'));
  growing.readOn();
  assert.deepEqual([nameOf(growing, 0), nameOf(growing, 500)], [undefined, 'new500']);
  writeFileSync(file, lines(0, 3000, 'third'));
  growing.readOn();
  const names = [0, 10, 500, 2999].map((number) => nameOf(growing, number));
  assert.deepEqual(names, ['third0', 'third10', 'third500', 'third2999']);
  growing.close();
});

test('of a map of 1 GB the end is read, in bounded time and memory, and the rest is counted', () => {
  const file = join(directory, 'huge.map');
  writeFileSync(file, lines(0, 10, 'first'));
  // Sparse: zeros without an end of line, as good as any other content.
  truncateSync(file, 2 ** 30);
  appendFileSync(file, `\n${lines(20, 200_000, 'last')}`);
  const started = process.cpuUsage();
  const memory = process.memoryUsage.rss();
  const growing = new GrowingPerfMap(openSync(file, 'r'), newChunk());
  growing.readOn();
  const { user, system } = process.cpuUsage(started);
  assert.ok(user + system < 5_000_000, `${user + system} microseconds`);
  assert.ok(process.memoryUsage.rss() - memory < 100 * 2 ** 20);
  assert.deepEqual([nameOf(growing, 0), nameOf(growing, 200_019)], [undefined, 'last200019']);
  assert.ok(growing.map.problems.get('bytes_skipped')! > 2 ** 30 - 2 ** 26);
  // And it grows by more than is taken in at once.
  truncateSync(file, 3 * 2 ** 30);
  appendFileSync(file, `\n${lines(300_000, 10, 'later')}`);
  growing.readOn();
  assert.equal(nameOf(growing, 300_009), 'later300009');
  growing.close();
});

test('a map of millions of functions keeps the latest of them', () => {
  const { file, growing } = follow('many.map', '');
  for (let round = 0; round < 8; round++) {
    appendFileSync(file, lines(round * 100_000, 100_000, 'f'));
    growing.readOn();
  }
  assert.equal(nameOf(growing, 799_999), 'f799999');
  assert.equal(nameOf(growing, 0), undefined);
  assert.ok(growing.map.size <= 2 ** 18);
  assert.equal(growing.map.problems.get('entries_forgotten')! + growing.map.size, 800_000);
  growing.close();
});
