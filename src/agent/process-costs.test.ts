import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Process } from '../process/process.ts';
import type { ProcessOwner } from '../process/process-owners.ts';
import { AGENT_PROCESS_COSTS, ProcessCosts } from './process-costs.ts';

const someProcess = (): Process => ({}) as Process;
/** Each process has an owner of its own. */
function ownerEach(): (process: Process) => ProcessOwner {
  const owners = new Map<Process, ProcessOwner>();
  return (process) => {
    const owner = owners.get(process) ?? { name: String(owners.size), isUser: true };
    owners.set(process, owner);
    return owner;
  };
}

test('a process that costs too much is left alone until it has paid, and no other is', () => {
  let now = 0;
  const costs = new ProcessCosts(AGENT_PROCESS_COSTS, ownerEach(), () => now);
  const [dear, cheap] = [someProcess(), someProcess()];
  costs.owe(dear, 1_400);
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
  const costs = new ProcessCosts(AGENT_PROCESS_COSTS, ownerEach(), () => now);
  const hostile = someProcess();
  let spent = 0;
  for (; now < 600_000; now += 100) {
    if (costs.pauseMs(hostile) > 0) continue;
    costs.owe(hostile, 80);
    spent += 80;
  }
  assert.ok(spent < 1_500 + 1_800 + 200, `${spent} ms in ten minutes`);
});

test('exec and fork pay nothing off', () => {
  const now = 0;
  const costs = new ProcessCosts(AGENT_PROCESS_COSTS, ownerEach(), () => now);
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
  const costs = new ProcessCosts(AGENT_PROCESS_COSTS, ownerEach(), () => now);
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

test('a storm of short processes costs its user no more than one process, and others nothing', () => {
  let now = 0;
  const owners = new Map<Process, ProcessOwner>();
  const costs = new ProcessCosts(
    AGENT_PROCESS_COSTS,
    (one) => owners.get(one)!,
    () => now,
  );
  const processOf = (name: string): Process => {
    const process = someProcess();
    owners.set(process, { name, isUser: true });
    return process;
  };
  const ordinary = processOf('user 2');
  const [large, small] = [processOf('user 1'), processOf('user 1')];
  costs.owe(large, 200);
  let spent = 0;
  let isSmallServed = false;
  for (; now < 600_000; now += 10) {
    const child = processOf('user 1');
    if (costs.mayFollow(child)) {
      costs.owe(child, 5);
      spent += 5;
    }
    if (!costs.mayFollow(large)) isSmallServed ||= costs.mayFollow(small);
    assert.ok(costs.mayFollow(ordinary));
  }
  const { aheadMs, share } = AGENT_PROCESS_COSTS.user;
  assert.ok(spent <= 2 * aheadMs + 600_000 * share + 5, `${spent} ms in ten minutes`);
  assert.ok(spent >= 600_000 * share, `${spent} ms in ten minutes`);
  assert.ok(isSmallServed, 'what costs little goes on longer than what costs much');
});
