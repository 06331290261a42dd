import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Backlog } from './backlog.ts';

const LIMITS = { copyBytes: 1000, processCopyBytes: 300, bytes: 2000 };

test('one process cannot take the room of the others', () => {
  const backlog = new Backlog(LIMITS);
  assert.deepEqual(
    [100, 100, 100, 100].map((bytes) => backlog.admits(7, bytes)),
    [true, true, true, false],
  );
  assert.ok(backlog.admits(8, 300));
  backlog.add(700);
  assert.ok(!backlog.admits(7, 1), 'it is in flight still');
  assert.ok(backlog.admits(9, 300));
  assert.ok(!backlog.admits(10, 101), 'all together have theirs');
  backlog.add(300);
  assert.equal(backlog.finish()?.copies, 4);
  assert.ok(backlog.admits(7, 300));
  assert.equal(backlog.drop(), 1, 'never sent');
  assert.ok(backlog.admits(7, 300));
  assert.equal(backlog.clear(), 1);
});

test('news of processes have their room too', () => {
  const backlog = new Backlog(LIMITS);
  for (let i = 0; i < 4; i++) {
    assert.ok(backlog.hasRoom(500));
    backlog.add(500);
  }
  assert.ok(!backlog.hasRoom(1));
  backlog.finish();
  assert.ok(backlog.hasRoom(500) && !backlog.hasRoom(501));
});

test('a flush does not wait long behind a resolver that is slow', () => {
  let now = 0;
  const backlog = new Backlog(LIMITS, () => now);
  backlog.boundAge(100);
  backlog.add(1);
  now += 101;
  const looks = Array.from({ length: 6 }, () => backlog.hasRoom(1));
  assert.deepEqual(looks, [true, true, true, false, false, false], 'it may have been finished');
  backlog.finish();
  assert.ok(backlog.hasRoom(1));
  backlog.add(1);
  now += 100;
  for (let i = 0; i < 6; i++) assert.ok(backlog.hasRoom(1));
});

test('whatever comes, all room is free again when all is finished, and each copy was counted once', () => {
  const step = fc.oneof(
    fc.record({ pid: fc.integer({ min: 1, max: 5 }), bytes: fc.integer({ min: 1, max: 400 }) }),
    fc.constantFrom('add' as const, 'drop' as const, 'finish' as const),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const backlog = new Backlog(LIMITS);
      let admitted = 0;
      let given = 0;
      for (const what of steps) {
        if (what === 'add') backlog.add(10);
        else if (what === 'drop') given += backlog.drop();
        else if (what === 'finish') given += backlog.finish()?.copies ?? 0;
        else if (backlog.admits(what.pid, what.bytes)) admitted++;
      }
      given += backlog.drop() + backlog.clear();
      assert.equal(given, admitted);
      for (const pid of [1, 2, 3]) assert.ok(backlog.admits(pid, 300));
      assert.ok(backlog.hasRoom(2000));
    }),
    { seed: 11, numRuns: 300 },
  );
});
