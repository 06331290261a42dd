import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Process } from '../process/process.ts';
import { AGENT_PROCESS_COSTS, ProcessCosts } from './process-costs.ts';

const someProcess = (): Process => ({}) as Process;

test('a process that costs too much is left alone until it has paid, and no other is', () => {
  let now = 0;
  const costs = new ProcessCosts(AGENT_PROCESS_COSTS, () => now);
  const [dear, cheap] = [someProcess(), someProcess()];
  costs.owe(dear, 1_900);
  costs.owe(cheap, 100);
  assert.equal(costs.pauseMs(dear), 0, 'tables of a large program are paid ahead');
  costs.owe(dear, 300);
  assert.ok(costs.pauseMs(dear) > 15_000, `${costs.pauseMs(dear)}`);
  assert.equal(costs.pauseMs(cheap), 0);
  assert.equal(costs.pauses, 1);
  now += costs.pauseMs(dear);
  assert.equal(costs.pauseMs(dear), 0);
});

test('in the long run a process gets 0.3 % of a CPU, whatever it does', () => {
  let now = 0;
  const costs = new ProcessCosts(AGENT_PROCESS_COSTS, () => now);
  const hostile = someProcess();
  let spent = 0;
  for (; now < 600_000; now += 100) {
    if (costs.pauseMs(hostile) > 0) continue;
    costs.owe(hostile, 80);
    spent += 80;
  }
  assert.ok(spent < 2_000 + 1_800 + 200, `${spent} ms in ten minutes`);
});

test('exec and fork pay nothing off', () => {
  const now = 0;
  const costs = new ProcessCosts(AGENT_PROCESS_COSTS, () => now);
  const [shell, program, child] = [someProcess(), someProcess(), someProcess()];
  costs.owe(shell, 2_500);
  costs.inherit(program, shell);
  costs.inherit(child, program);
  assert.ok(costs.pauseMs(program) > 0);
  assert.ok(costs.pauseMs(child) > 0);
  costs.inherit(shell, shell);
  costs.inherit(someProcess(), undefined);
});

test('what cannot be read is asked again later each time, at last once a minute', () => {
  let now = 0;
  const costs = new ProcessCosts(AGENT_PROCESS_COSTS, () => now);
  const refused = someProcess();
  const pauses = Array.from({ length: 8 }, () => {
    costs.fail(refused);
    const pause = costs.pauseMs(refused);
    now += pause;
    return pause;
  });
  assert.deepEqual(pauses, [1e3, 2e3, 4e3, 8e3, 16e3, 32e3, 60e3, 60e3]);
  // Another program there may be readable.
  const next = someProcess();
  costs.inherit(next, refused);
  assert.equal(costs.pauseMs(next), 0);
});
