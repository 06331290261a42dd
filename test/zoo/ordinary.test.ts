/** The zoo's judge can tell: what it calls wrong, and what it lets pass. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { changedShares, Judge, type OrdinaryLoads } from './ordinary.ts';
import type { ReadSample, StackFrame } from './profiles.ts';

const loads = {
  languageOf: (pid: number) => ({ 1: 'c', 2: 'go', 3: 'node' })[pid],
} as unknown as OrdinaryLoads;

const frame = (name: string, type = 'native', module = 'steady', file = ''): StackFrame => ({
  name,
  type,
  module,
  file,
});
const NATIVE = ['serve', 'main', '__libc_start_call_main', '__libc_start_main_impl', '_start'];
const cStack = (...top: string[]): StackFrame[] => [
  ...top.map((name) => frame(name)),
  ...NATIVE.map((name) => frame(name, 'native', name.startsWith('__') ? 'libc.so.6' : 'steady')),
];

function judged(pid: number, stack: readonly StackFrame[], digits = '', count = 1) {
  const judge = new Judge(loads);
  const sample: ReadSample = {
    pid,
    stack,
    count,
    traceId: digits.repeat(16),
    spanId: digits.repeat(8),
  };
  judge.add([sample]);
  return judge.judgement.get((['c', 'go', 'node'] as const)[pid - 1]!)!;
}

test('right stacks and ids are right', () => {
  const alpha = judged(1, [frame('irq', 'kernel', '[kernel]'), ...cStack('alpha')], '11');
  assert.deepEqual([alpha.wrong, alpha.identified, alpha.counts.alpha], [[], 1, 1]);
  assert.deepEqual(judged(1, cStack('gamma_'), '33').wrong, []);
  // Cut, without a name, between two requests: less than could be said, but not wrong.
  assert.deepEqual(judged(1, [frame('alpha'), frame('[truncated]', 'marker')]).wrong, []);
  assert.equal(judged(1, [frame('')]).unnamed, 1);
  assert.deepEqual(judged(1, cStack(), '22').wrong, []);
  const go = [frame('main.beta', 'go'), frame('main.serve', 'go'), frame('runtime.main', 'go')];
  assert.equal(judged(2, go, '55').identified, 1);
  const js = frame('beta', 'v8js', '[anon]', '/x/steady.ts');
  assert.deepEqual(judged(3, [js, frame('Builtins_JSEntry', 'native', 'node')]).wrong, []);
});

test('names of others, names in wrong places and ids of others are wrong', () => {
  for (const [pid, stack, digits] of [
    [1, cStack('plugin_work'), ''],
    [1, cStack('alpha', 'beta'), ''],
    [1, cStack('alpha'), '22'],
    [1, cStack('beta'), '77'],
    [1, cStack(), '77'],
    [2, [frame('main.alpha', 'go'), frame('main.stranger', 'go')], ''],
    [3, [frame('stranger', 'v8js', '[anon]', '/x/steady.ts')], ''],
    [3, [frame('jit_hot', 'jit', '[anon]')], ''],
  ] as const) {
    assert.equal(judged(pid, stack, digits).wrongCount, 1, JSON.stringify(stack[0]));
  }
});

test('shares that moved more than chance explains', () => {
  const of = (alpha: number, beta: number, gamma: number) => {
    const judge = new Judge(loads);
    for (const [name, count] of Object.entries({ alpha, beta, gamma_: gamma })) {
      judge.add([{ pid: 1, stack: cStack(name), count, traceId: '', spanId: '' }]);
    }
    return judge.judgement;
  };
  assert.deepEqual(changedShares(of(500, 333, 167), of(520, 320, 160)), []);
  assert.deepEqual(changedShares(of(50, 33, 17), of(5, 2, 1)), []);
  assert.equal(changedShares(of(500, 333, 167), of(300, 533, 167)).length, 2);
});
