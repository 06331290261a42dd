import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ProcessContexts } from '../context/process-contexts.ts';
import type { Identity, Process } from '../process/process.ts';
import type { ProcessTracker } from '../process/tracker.ts';
import { bootTime, hostPid, monotonicTime } from '../units/units.ts';
import type { Walked } from '../unwind/stack-walk.ts';
import { DeferredUnwinder } from './deferred-unwinder.ts';
import { AGENT_PROCESS_COSTS, ProcessCosts } from './process-costs.ts';
import type { RecordWriter } from './record-writer.ts';

const identity: Identity = { pid: hostPid(7), execId: 1, startNs: bootTime(1n) };

/** Unwinds a sample without a copy of its stack, of a process that owes so much. */
function outcome(owedMs: number, state: Partial<Process>) {
  const process = { identity, mappings: [], complete: false, ...state } as Process;
  const owners = { of: () => ({ name: 'user 1', isUser: true }), presume() {} };
  const costs = new ProcessCosts(AGENT_PROCESS_COSTS, owners, () => 0);
  costs.owe(process, owedMs);
  const did: string[] = [];
  const unwinder = new DeferredUnwinder({
    tracker: { lookup: () => process } as unknown as ProcessTracker,
    costs,
    contexts: { sampled: () => did.push('context') } as unknown as ProcessContexts,
    writer: {
      write: (_records: DataView, _at: number, { end }: Walked) => did.push(end),
    } as unknown as RecordWriter,
    maxDepth: 64,
    binaries: new Map(),
    binary: () => assert.fail('a file is read'),
    dropFailed: () => false,
    changed: () => did.push('told'),
    renumber: () => assert.fail('it has been walked'),
  });
  const records = new DataView(new ArrayBuffer(1024));
  assert.equal(unwinder.unwind(records, 0, identity, monotonicTime(1)), process);
  return did;
}

test('a process that has cost too much is not unwound, nor looked at, and the kernel side is told', () => {
  for (const complete of [false, true])
    assert.deepEqual(outcome(2_000, { complete }), ['told', 'not_followed']);
  assert.deepEqual(outcome(2_000, { complete: true, ended: 1 }), ['not_followed']);
});

test('any other is looked at, however short its stack', () => {
  assert.deepEqual(outcome(10, {}), ['context', 'told', 'process_gone']);
});
