import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Process } from '../process/process.ts';
import type { ProcessOwner } from '../process/process-owners.ts';
import { AGENT_PROCESS_COSTS, agentProcessCosts, ProcessCosts } from './process-costs.ts';

const someProcess = (): Process => ({}) as Process;
type Owners = ConstructorParameters<typeof ProcessCosts>[1];

/** Whoever is in no list has an owner of its own. */
function owned(owners = new Map<Process, ProcessOwner>()): Owners & { asked: number } {
  return {
    asked: 0,
    of(process) {
      this.asked++;
      const owner = owners.get(process) ?? { name: String(owners.size), isUser: true };
      owners.set(process, owner);
      return owner;
    },
    presume: (process, owner) => void owners.set(process, owner),
  };
}

test('a process that costs too much is left alone until it has paid, and no other is', () => {
  let now = 0;
  const costs = new ProcessCosts(AGENT_PROCESS_COSTS, owned(), () => now);
  const [dear, cheap] = [someProcess(), someProcess()];
  costs.owe(dear, 1_450);
  costs.owe(cheap, 100);
  assert.equal(costs.pauseMs(dear), 0, 'tables of a large program are paid ahead');
  costs.owe(dear, 100);
  assert.ok(costs.pauseMs(dear) > 15_000, `${costs.pauseMs(dear)}`);
  assert.equal(costs.pauseMs(cheap), 0);
  assert.equal(costs.pauses, 2, 'it and its owner');
  now += costs.pauseMs(dear);
  assert.equal(costs.pauseMs(dear), 0);
});

test('in the long run a process gets 0.3 % of a CPU, whatever it does', () => {
  let now = 0;
  const costs = new ProcessCosts(AGENT_PROCESS_COSTS, owned(), () => now);
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
  const costs = new ProcessCosts(AGENT_PROCESS_COSTS, owned(), () => now);
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
  const costs = new ProcessCosts(AGENT_PROCESS_COSTS, owned(), () => now);
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
  const costs = new ProcessCosts(AGENT_PROCESS_COSTS, owned(owners), () => now);
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
  assert.ok(spent <= 1.25 * aheadMs + 600_000 * share + 5, `${spent} ms in ten minutes`);
  assert.ok(spent >= 600_000 * share, `${spent} ms in ten minutes`);
  assert.ok(isSmallServed, 'what costs little goes on longer than what costs much');
});

test("a storm of processes that each cost next to nothing is their user's too, and he is asked for once", () => {
  let now = 0;
  const owners = owned();
  const costs = new ProcessCosts(AGENT_PROCESS_COSTS, owners, () => now);
  const shell = someProcess();
  costs.owe(shell, 2);
  let spent = 0;
  for (; now < 600_000; now += 1) {
    const child = someProcess();
    costs.inherit(child, shell);
    if (costs.pauseMs(child) > 0) continue;
    costs.owe(child, 0.5);
    spent += 0.5;
  }
  const { aheadMs, share } = AGENT_PROCESS_COSTS.user;
  assert.ok(spent <= 1.25 * aheadMs + 600_000 * share + 5, `${spent} ms in ten minutes`);
  assert.ok(spent >= 600_000 * share, `${spent} ms in ten minutes`);
  assert.equal(owners.asked, 1);
});

test('names are the first that is given up', () => {
  const now = 0;
  const user = { name: 'user 1', isUser: true };
  const [dear, cheap] = [someProcess(), someProcess()];
  const owners = owned(new Map([dear, cheap].map((one) => [one, user])));
  const costs = new ProcessCosts(AGENT_PROCESS_COSTS, owners, () => now);
  costs.owe(cheap, 2);
  assert.ok(costs.mayName(someProcess()));
  costs.owe(dear, 1_000);
  assert.ok(costs.mayName(dear));
  costs.owe(dear, 200);
  assert.ok(!costs.mayName(dear));
  assert.equal(costs.pauseMs(dear), 0);
  assert.ok(costs.mayName(cheap), 'who has cost little goes on');
  const service = someProcess();
  const root = { name: 'user 0', isUser: false };
  const roots = new ProcessCosts(AGENT_PROCESS_COSTS, owned(new Map([[service, root]])), () => now);
  roots.owe(service, 1_200);
  assert.ok(!roots.mayName(service), 'its own share, whatever its owner has');
});

test('what the thread takes besides is owed by those for whom there was something to do', () => {
  let now = 0;
  const costs = new ProcessCosts(AGENT_PROCESS_COSTS, owned(), () => now);
  const [hostile, honest] = [someProcess(), someProcess()];
  let cpu = 0;
  for (; now < 100_000 && costs.pauseMs(hostile) === 0; now += 100) {
    costs.owe(hostile, 10);
    costs.owe(honest, 0.1);
    cpu += 20;
    costs.share(cpu);
  }
  assert.ok(now < 9_000, `left alone after ${now} ms, of which it has taken a tenth itself`);
  assert.equal(costs.pauseMs(honest), 0);
  const calm = new ProcessCosts(AGENT_PROCESS_COSTS, owned(), () => now);
  const alone = someProcess();
  for (const end = now + 600_000; now < end; now += 100) {
    calm.owe(alone, 0.2);
    cpu += 0.6;
    calm.share(cpu);
    assert.equal(calm.pauseMs(alone), 0, 'a quiet machine');
  }
});

test('a large machine has more to be done', () => {
  assert.deepEqual(agentProcessCosts(2), AGENT_PROCESS_COSTS);
  const { user } = agentProcessCosts(64);
  assert.deepEqual(user, { share: 0.064, aheadMs: 24_000, mostMs: 48_000 });
});
