import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Process } from '../process/process.ts';
import { bootTime, hostPid, processAddress } from '../units/units.ts';
import type { Answer, Publication } from './context-source.ts';
import { payloadOf } from './payload.test-support.ts';
import { type LookAccount, ProcessContexts } from './process-contexts.ts';
import type { OtelVariables } from './process-environment.ts';

const SECOND = 1e9;
let pids = 0;

function newProcess(): Process {
  return {
    identity: { pid: hostPid(++pids), execId: 0, startNs: bootTime(BigInt(pids * SECOND)) },
    complete: true,
    mappings: [],
    layout: 0,
    stale: false,
    readAt: 0,
    lines: 0,
    parent: undefined,
    ended: undefined,
  };
}

/** A machine whose processes say what a test has them say, and a clock that it sets. */
function world({
  isAnnounced = false,
  isReplay = false,
  lookNs = 0,
  account,
}: {
  isAnnounced?: boolean;
  isReplay?: boolean;
  lookNs?: number;
  account?: LookAccount;
} = {}) {
  const said = new Map<number, { name?: string; at?: number; reason?: string; filler?: string }>();
  const variables = new Map<number, OtelVariables>();
  const time = { now: 100 * SECOND, spent: 0 };
  const asked: [what: string, pid: number][] = [];
  const answer = <Found>(found: Found | undefined): Answer<Found> => ({ found, readAt: time.now });
  const contexts = new ProcessContexts({
    source: {
      publication({ pid }): Answer<Publication> {
        asked.push(['publication', pid]);
        time.spent += lookNs;
        const { name, at = 1, reason, filler = '' } = said.get(pid) ?? {};
        if (reason !== undefined) return { reason };
        if (name === undefined) return answer<Publication>(undefined);
        const payload = payloadOf({ 'service.name': name }, { filler });
        return answer({ place: processAddress(4096), publishedAt: BigInt(at), payload });
      },
      isCurrent: ({ pid }, known) => {
        asked.push(['current', pid]);
        const { name, at = 1, reason } = said.get(pid) ?? {};
        return name !== undefined && reason === undefined && BigInt(at) === known.publishedAt;
      },
      environment({ pid }): Answer<OtelVariables> {
        asked.push(['environment', pid]);
        return answer(variables.get(pid));
      },
    },
    isAnnounced,
    isReplay,
    clock: () => time.now,
    cost: () => time.spent,
    ...(account && { account }),
  });
  return {
    contexts,
    time,
    say: (process: Process, what: Parameters<typeof said.set>[1]) =>
      said.set(process.identity.pid, what),
    setVariables: (process: Process, serviceName: string, resourceAttributes = '') =>
      variables.set(process.identity.pid, { serviceName, resourceAttributes }),
    /** What was asked since the last call. */
    asked: () => asked.splice(0).map(([what]) => what),
    /** The name of the service at a flush. */
    service: (process: Process): string | undefined => {
      contexts.beginFlush();
      return contexts.resource(process).find(({ key }) => key === 'service.name')?.value;
    },
  };
}

test('a process is looked at when it is first sampled, and then only at its time stamp', () => {
  const { contexts, say, service, asked } = world();
  const process = newProcess();
  say(process, { name: 'shop' });
  contexts.settle();
  assert.deepEqual(asked(), []);
  contexts.sampled(process);
  contexts.settle();
  assert.deepEqual(asked(), ['environment', 'publication']);
  assert.equal(service(process), 'shop');
  assert.equal(service(process), 'shop');
  contexts.settle();
  assert.deepEqual(asked(), ['current', 'current']);
  assert.equal(contexts.of(process)!.resource.get('service.name'), 'shop');
  assert.equal(contexts.due, undefined);
});

test('an update is seen at the next flush, a withdrawal too', () => {
  const { contexts, say, service } = world();
  const process = newProcess();
  say(process, { name: 'shop' });
  contexts.sampled(process);
  contexts.settle();
  say(process, { name: 'till', at: 2 });
  assert.equal(service(process), 'till');
  say(process, {});
  assert.equal(service(process), undefined);
});

test('a process that is first seen at a flush is asked there', () => {
  const { say, setVariables, service } = world();
  const [process, other] = [newProcess(), newProcess()];
  say(process, { name: 'shop' });
  setVariables(other, 'till');
  assert.equal(service(process), 'shop');
  assert.equal(service(other), 'till');
});

// At first ten times a second, then every time a quarter longer, at most 60 seconds.
test('without news from the kernel a late publication is looked for at growing intervals', () => {
  const { contexts, time, say, service, asked } = world();
  const process = newProcess();
  contexts.sampled(process);
  const looks: number[] = [];
  const start = time.now;
  for (let tick = 0; tick < 6000; tick++) {
    contexts.settle();
    if (asked().includes('publication')) looks.push((time.now - start) / SECOND);
    time.now += SECOND / 10;
  }
  for (const [i, look] of looks.entries()) {
    const next = looks[i + 1] ?? look;
    assert.ok(next - look <= Math.min(0.3 + 0.35 * look, 60.1), `${look}, then ${next}`);
  }
  assert.ok(looks.length > 20 && looks.length < 50, `${looks.length} looks in ten minutes`);
  say(process, { name: 'shop' });
  time.now += contexts.due! * 1e6;
  contexts.settle();
  assert.equal(service(process), 'shop');
});

test('with news from the kernel a process that was followed from its beginning is not searched', () => {
  const { contexts, time, say, setVariables, service, asked } = world({ isAnnounced: true });
  const [born, before] = [newProcess(), newProcess()];
  setVariables(born, 'from-environment');
  contexts.begun(born);
  contexts.sampled(born);
  contexts.sampled(before);
  contexts.settle();
  assert.deepEqual(asked(), ['environment', 'environment', 'publication']);
  assert.equal(service(born), 'from-environment');
  time.now += SECOND;
  say(born, { name: 'shop' });
  say(before, { name: 'till' });
  contexts.published(born);
  contexts.published(before);
  contexts.settle();
  assert.deepEqual(asked(), ['publication', 'publication']);
  assert.deepEqual([service(born), service(before)], ['shop', 'till']);
});

// The name is given a moment after it is told.
test('what was told of and is not there is looked for again soon', () => {
  const { contexts, time, say, service, asked } = world({ isAnnounced: true });
  const process = newProcess();
  contexts.begun(process);
  contexts.sampled(process);
  contexts.published(process);
  contexts.settle();
  say(process, { name: 'shop' });
  time.now += SECOND / 5;
  contexts.settle();
  assert.deepEqual(asked(), ['environment', 'publication', 'publication']);
  assert.equal(service(process), 'shop');
});

test('who publishes in a loop is read once a second', () => {
  const { contexts, time, say, asked } = world({ isAnnounced: true });
  const process = newProcess();
  contexts.sampled(process);
  for (let tick = 0; tick < 100; tick++) {
    say(process, { name: `shop${tick}`, at: tick + 1 });
    contexts.published(process);
    contexts.settle();
    time.now += SECOND / 10;
  }
  const reads = asked().filter((what) => what === 'publication').length;
  assert.ok(reads >= 10 && reads <= 16, `${reads} reads in ten seconds`);
});

test('a child has its parent’s environment and not its context', () => {
  const { contexts, say, setVariables, service, asked } = world({ isAnnounced: true });
  const [parent, child, grandchild] = [newProcess(), newProcess(), newProcess()];
  say(parent, { name: 'shop' });
  setVariables(parent, 'from-environment');
  contexts.sampled(parent);
  contexts.settle();
  contexts.forked(child, parent);
  contexts.forked(grandchild, child);
  asked();
  // They end before anybody can look.
  child.ended = 1;
  grandchild.ended = 1;
  assert.equal(service(child), 'from-environment');
  assert.equal(service(grandchild), 'from-environment');
  assert.equal(service(parent), 'shop');
  assert.deepEqual(asked(), ['current']);
});

// News of exec is late: what was read of the pid after it is the new program's.
test('what was read after a process became another program is not said of the first', () => {
  for (const isReplay of [false, true]) {
    const { contexts, time, say, setVariables, service } = world({ isReplay });
    const [before, after] = [newProcess(), newProcess()];
    for (const process of [before, after]) {
      say(process, { name: 'new' });
      setVariables(process, '', 'service.version=2');
    }
    const replaced = time.now - 1;
    contexts.sampled(before);
    contexts.settle();
    before.ended = replaced;
    contexts.replaced(before, replaced);
    assert.equal(service(before), undefined);
    assert.deepEqual(contexts.resource(before), []);
    assert.equal(service(after), 'new');
  }
});

test('what was read before a process became another program stays what it was', () => {
  const { contexts, time, say, service } = world();
  const process = newProcess();
  say(process, { name: 'shop' });
  contexts.sampled(process);
  contexts.settle();
  process.ended = time.now + 1;
  contexts.replaced(process, time.now + 1);
  say(process, { name: 'other', at: 2 });
  assert.equal(service(process), 'shop');
});

test('what is refused is counted by its reason, and asked again at growing intervals', () => {
  const { contexts, time, say, service } = world();
  const process = newProcess();
  say(process, { reason: 'version' });
  contexts.sampled(process);
  for (let tick = 0; tick < 600; tick++) {
    contexts.settle();
    time.now += SECOND / 10;
  }
  const refused = contexts.problems.get('process_context_version')!;
  assert.ok(refused >= 5 && refused <= 30, `${refused} times in a minute`);
  assert.equal(service(process), undefined);
});

// While it is being changed it is still what it was; garbage is not.
test('a known context outlives an update that cannot be read, and no garbage', () => {
  const { contexts, say, service } = world();
  const process = newProcess();
  say(process, { name: 'shop' });
  contexts.sampled(process);
  contexts.settle();
  say(process, { reason: 'changing' });
  assert.equal(service(process), 'shop');
  say(process, { reason: 'signature' });
  assert.equal(service(process), undefined);
  assert.deepEqual(Object.fromEntries(contexts.problems), {
    process_context_changing: 1,
    process_context_signature: 1,
  });
});

test('payloads that do not parse, and variables that are wrong, are counted', () => {
  const { contexts, say, setVariables, service } = world();
  const process = newProcess();
  say(process, { name: 'shop', filler: 'x' });
  setVariables(process, 'named', 'nonsense');
  assert.equal(service(process), 'shop');
  assert.deepEqual(Object.fromEntries(contexts.problems), { process_environment_malformed: 1 });
});

// 64 KiB each: the first 63 fill what is kept of all.
test('processes that publish much do not fill the memory, and make room when they are forgotten', () => {
  const { contexts, say, service } = world();
  const processes = Array.from({ length: 80 }, newProcess);
  for (const [i, process] of processes.entries()) {
    say(process, { name: `shop${i}`, filler: 'x'.repeat(65_400) });
    service(process);
  }
  const refused = contexts.problems.get('process_context_over_limit')!;
  assert.ok(refused >= 10 && refused <= 20, `${refused} refused`);
  assert.equal(service(processes[0]!), 'shop0');
  assert.equal(contexts.of(processes.at(-1)!), undefined);
  contexts.forget(processes);
  const late = newProcess();
  say(late, { name: 'late' });
  assert.equal(service(late), 'late');
});

test('a thousand slow processes do not hold up a batch, or a profile', () => {
  const { contexts, time } = world({ lookNs: SECOND / 100 });
  const processes = Array.from({ length: 1000 }, newProcess);
  for (const process of processes) contexts.sampled(process);
  contexts.settle();
  contexts.settle();
  assert.ok(time.spent <= 0.06 * SECOND, `${time.spent / SECOND} s`);
  time.spent = 0;
  contexts.beginFlush();
  for (const process of processes) contexts.resource(process);
  assert.ok(time.spent <= 0.06 * SECOND, `${time.spent / SECOND} s`);
  // Two per cent of the time.
  time.spent = 0;
  for (let tick = 0; tick < 1000; tick++) {
    time.now += SECOND / 10;
    contexts.settle();
  }
  assert.ok(time.spent > 1.8 * SECOND && time.spent < 2.2 * SECOND, `${time.spent / SECOND} s`);
});

test('looking at a process is at its expense, and put off while it has nothing left', () => {
  const owed = new Map<Process, number>();
  let isPaid = false;
  const account: LookAccount = {
    mayLook: () => isPaid,
    owe: (one, ns) => void owed.set(one, (owed.get(one) ?? 0) + ns),
  };
  const { contexts, say, service, asked, time } = world({ lookNs: 1e6, account });
  const process = newProcess();
  say(process, { name: 'shop' });
  contexts.sampled(process);
  contexts.settle();
  assert.equal(service(process), undefined);
  assert.deepEqual(asked(), []);
  assert.equal(contexts.due, 1_000);
  isPaid = true;
  time.now += SECOND;
  assert.equal(service(process), 'shop');
  assert.deepEqual([...owed], [[process, 1e6]]);
});
