import assert from 'node:assert/strict';
import { test } from 'node:test';
import { virtualAddress } from '../units/units.ts';
import { DebugInfoFile } from './debug-info-file.ts';
import { type DebugInfoState, packLines } from './debug-info-messages.ts';

const [a, b] = [virtualAddress(1), virtualAddress(2)];
const origin = { id: 1, owner: '', path: '/a', roots: () => [], open: () => 0, giveBack() {} };

/** Answers what is asked; the addresses. */
function answer(file: DebugInfoFile, state: DebugInfoState): number[] {
  const addresses = file.takeQuestions();
  const line = { name: 'f', systemName: 'f', file: 'a.c', line: 1, column: 0, startLine: 1 };
  const lines = packLines(Array.from(addresses, () => (state === 'none' ? undefined : [line])));
  const kind = new Uint8Array(addresses.length);
  file.learn(addresses, {
    type: 'answer',
    id: 1,
    state,
    kind,
    kinds: ['dwarf'],
    lines,
    problems: [],
  });
  return [...addresses];
}

test('A file that had nothing is asked again after some minutes, also for what has a name already', () => {
  let now = 0;
  const file = new DebugInfoFile(origin, false, () => now);
  file.occurred(a, false);
  assert.deepEqual(answer(file, 'none'), [1]);
  assert.equal(file.mayAnswer, false);
  now += 299_000;
  assert.equal(file.mayAnswer, false);
  now += 2_000;
  assert.equal(file.mayAnswer, true);
  for (const each of [a, b]) file.occurred(each, true);
  assert.deepEqual(answer(file, 'ready'), [1, 2]);
  assert.ok(file.take(a));
  file.occurred(a, true);
  assert.equal(file.questions, 0, 'now the name is final');
  now += 1_000_000;
  file.occurred(a, true);
  assert.equal(file.questions, 0);
});

test('A file that was given up for its costs stays so', () => {
  let now = 0;
  const file = new DebugInfoFile(origin, false, () => now);
  file.setBack('debug_info_time_limit', undefined);
  now += 10_000_000;
  assert.equal(file.mayAnswer, false);
});

test('A debug file whose sum is wrong, or twice too slow, is left out; a right one not summed again', () => {
  const file = new DebugInfoFile(origin);
  file.summed('right', 'right');
  file.summed('wrong', 'wrong');
  file.summed('late', 'late');
  assert.deepEqual([[...file.trusted], [...file.skipped]], [['right'], ['wrong']]);
  file.summed('late', 'late');
  assert.deepEqual([...file.skipped], ['wrong', 'late']);
});
