import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { VirtualAddress } from '../units/units.ts';
import { DebugInfoAccounts } from './debug-info-accounts.ts';
import { DebugInfoFile } from './debug-info-file.ts';

/** As good as nothing is paid back while a test runs. */
const LIMITS = { cpuShare: 1e-9, newsMs: 10_000, hotMs: 1_500 };
/** What a hostile file costs: its turn, and what is left after each setback. */
const HOSTILE_MS = [3_000, 8_000, 4_000, 2_000];

let nextId = 1;
function fileOf(owner: string, samples: number): DebugInfoFile {
  const open = () => assert.fail();
  const origin = { id: nextId++, path: '', owner, roots: () => [], open, giveBack() {} };
  const file = new DebugInfoFile(origin);
  file.occurred(1 as VirtualAddress, false, samples);
  return file;
}

test('hostile files stop their owner alone, until many owners have them', () => {
  const accounts = new DebugInfoAccounts(LIMITS);
  let admitted = 0;
  for (let i = 0; i < 10; i++) {
    const [file, again] = [fileOf(`hostile ${i}`, 30), fileOf(`hostile ${i}`, 300)];
    if (!accounts.worth([file], 1_000, false).has(file)) break;
    admitted++;
    for (const ms of HOSTILE_MS) accounts.owe('news', file, ms);
    for (const isRunning of [false, true]) {
      assert.equal(accounts.worth([again], 1_000, isRunning).size, 0, `owner ${i}`);
      assert.equal(accounts.rests(again, isRunning), true);
    }
    if (i > 0) continue;
    // The others' new files, and what is late of them, go on.
    for (let j = 0; j < 10; j++) {
      const good = fileOf('good', 30);
      assert.deepEqual([...accounts.worth([again, good], 1_000, false)], [[good, 'news']]);
      accounts.owe('news', good, 400);
    }
    assert.equal(accounts.rests(fileOf('good', 1), false), false);
  }
  assert.equal(admitted, 2, 'all together have had what all may have');
});

test('late addresses that cost as much as hostile ones stop their owner alone, too', () => {
  const accounts = new DebugInfoAccounts(LIMITS);
  const file = fileOf('hostile', 1);
  assert.equal(accounts.worth([file], 1_000, false).get(file), 'late');
  for (const ms of HOSTILE_MS) accounts.owe('late', file, ms);
  for (const samples of [1, 30, 300]) {
    const [again, good] = [fileOf('hostile', samples), fileOf('good', samples)];
    assert.deepEqual([...accounts.worth([again, good], 1_000, false).keys()], [good]);
  }
});

test('while a thread runs its work is paid for, and ends when an owner has nothing left', () => {
  const accounts = new DebugInfoAccounts(LIMITS);
  let spent = 0;
  for (let i = 0; i < 1_000; i++) {
    const late = fileOf('hostile', 1);
    if (!accounts.worth([late], 1e6, true).has(late)) break;
    accounts.owe('late', late, 100);
    spent += 100;
  }
  assert.ok(spent >= 10_000 && spent <= 14_000, `${spent} ms`);
  assert.equal(accounts.rests(fileOf('good', 1), true), false);
});

test('late addresses of an owner who owes nothing are worth a start, those of another when they are hot', () => {
  const accounts = new DebugInfoAccounts(LIMITS);
  const [cold, hot, other] = [fileOf('a', 1), fileOf('a', 1), fileOf('b', 1)];
  // Neither is new from now on.
  assert.equal(accounts.worth([cold, hot], 1e6, false).get(cold), 'late');
  accounts.owe('late', cold, 400);
  assert.deepEqual([...accounts.worth([cold, other], 1_000, false).keys()], [other]);
  assert.deepEqual([accounts.rests(cold, false), accounts.rests(other, false)], [true, false]);
  hot.occurred(2 as VirtualAddress, false, 200);
  assert.deepEqual([...accounts.worth([hot], 1_000, false)], [[hot, 'late']]);
});

test('who never rests may owe what he likes', () => {
  const accounts = new DebugInfoAccounts({ ...LIMITS, cpuShare: 1 });
  for (let i = 0; i < 10; i++) {
    const file = fileOf('a', 1);
    assert.ok(accounts.worth([file], 1e6, false).has(file));
    accounts.owe('late', file, 20_000);
    assert.equal(accounts.rests(file, false), false);
  }
});
