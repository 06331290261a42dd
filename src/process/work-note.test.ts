import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileKey } from '../units/units.ts';
import { keyOf, WorkNote } from './work-note.ts';

test('the innermost file is noted, and none afterwards, also when work throws', () => {
  const shared = WorkNote.memory();
  const note = new WorkNote(shared);
  const seen: unknown[] = [];
  const see = () => seen.push(WorkNote.read(shared));
  see();
  note.during(fileKey(1), () => {
    assert.throws(() =>
      note.during(fileKey(2), () => {
        see();
        throw new Error('refused');
      }),
    );
    see();
  });
  see();
  assert.deepEqual(seen, [undefined, 2, 1, undefined]);
});

test('a file is refused until its time is over', () => {
  let now = 5;
  const note = new WorkNote(undefined, [{ key: fileKey(1), forMs: 10 }], () => now);
  assert.deepEqual([note.isRefused(fileKey(1)), note.isRefused(fileKey(2))], [true, false]);
  now = 15;
  assert.equal(note.isRefused(fileKey(1)), false);
});

test('a file that was written to has another key', () => {
  const state = {
    isRegular: true,
    size: 1,
    device: 1n,
    inode: 2n,
    modifiedNs: 3n,
    changedNs: 4n,
    owner: 0,
    mode: 0,
    names: 1,
  };
  const keys = [state, { ...state, changedNs: 5n }, { ...state, inode: 3n }].map(keyOf);
  assert.equal(new Set(keys).size, 3);
  assert.equal(keyOf({ ...state, names: 2 }), keys[0]);
});
