import assert from 'node:assert/strict';
import { cpus } from 'node:os';
import { test } from 'node:test';
import { loadAddon } from '../capture/addon.ts';
import { Header, ProcessEvent, RecordType } from '../capture/record.ts';
import { noContexts } from '../context/no-contexts.test-support.ts';
import { LiveHost } from '../process/host.ts';
import { noDemangler } from '../symbolize/demangle.ts';
import { bootTime, hostPid } from '../units/units.ts';
import { agentProcessCosts } from './process-costs.ts';
import { Resolver } from './resolver.ts';

/** Above what the kernel gives (PID_MAX_LIMIT). */
const NOBODY = 2 ** 22 + 1;
const STARTED = 5n;

/** As many programs after each other in one process. */
function execs(count: number): Uint8Array {
  const bytes = new Uint8Array(count * ProcessEvent.size);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < count; i++) {
    const at = i * ProcessEvent.size;
    view.setUint32(at + Header.length, ProcessEvent.size, true);
    view.setUint16(at + Header.type, RecordType.Exec, true);
    view.setUint32(at + Header.pid, NOBODY, true);
    view.setUint32(at + Header.execId, i, true);
    view.setBigUint64(at + Header.start, STARTED, true);
  }
  return bytes;
}

test('news of programs are at the expense of who makes them, three times what they take', () => {
  let cpu = 0;
  const resolver = new Resolver({
    host: new LiveHost(loadAddon()),
    contexts: noContexts(),
    demangle: noDemangler,
    kernel: undefined,
    maxDepth: 64,
    isSteady: true,
    hasServers: false,
    clock: () => 0,
    // Each takes a millisecond.
    cpuTime: () => {
      cpu += 1e6;
      return cpu;
    },
  });
  const pauseAfter = (count: number): number => {
    resolver.batch(execs(count), new Uint8Array());
    const identity = { pid: hostPid(NOBODY), execId: count - 1, startNs: bootTime(STARTED) };
    return resolver.costs.pauseMs(resolver.tracker.find(identity)!);
  };
  const { aheadMs } = agentProcessCosts(cpus().length).process;
  // At 3 ms each: six tenths of it.
  const some = Math.ceil(aheadMs / 5);
  assert.equal(pauseAfter(some), 0);
  assert.ok(pauseAfter(some) > 0, 'what may be had ahead is used up');
  resolver.close();
});
