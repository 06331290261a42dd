import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NameRoom } from './name-room.ts';

const lines = (length: number) => {
  const name = 'n'.repeat(length);
  return [{ name, systemName: name, file: '', line: 1, column: 0, startLine: 1 }];
};
const lengthOf = (room: NameRoom, owner: number, length: number) =>
  room.fit(owner, lines(length))[0]!.name.length;

test('a file with thousands of long names has them cut, another file has not', () => {
  const room = new NameRoom();
  const lengths = Array.from({ length: 1000 }, () => lengthOf(room, 1, 4000));
  // 1 MiB of names, each there twice.
  assert.equal(lengths.filter((length) => length === 4000).length, 131);
  assert.ok(Math.min(...lengths) <= 256);
  assert.equal(room.problems.get('names_shortened'), 1000 - 131);
  assert.equal(lengthOf(room, 2, 4000), 4000);
  assert.equal(lengthOf(room, 1, 256), 256, 'short names are free');
  room.clear();
  assert.equal(lengthOf(room, 1, 4000), 4000);
});

test('all files together have a limit too', () => {
  const room = new NameRoom();
  let characters = 0;
  for (let owner = 0; owner < 5000; owner++) characters += lengthOf(room, owner, 4000);
  assert.ok(characters < 6 << 20, `${characters} characters`);
});
