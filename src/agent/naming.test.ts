import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { loadAddon } from '../capture/addon.ts';
import { noContexts } from '../context/no-contexts.test-support.ts';
import { LiveHost } from '../process/host.ts';
import { PATIENT_WAIT_LIMITS } from '../process/wait-budget.ts';
import type { AddressQueries } from '../profile/address-collection.ts';
import { noDemangler } from '../symbolize/demangle.ts';
import { KernelNames } from '../symbolize/kernel-names.ts';
import { hostPid } from '../units/units.ts';
import type { DebugInfoFile } from './debug-info-file.ts';
import { type DebugInfoState, packLines } from './debug-info-messages.ts';
import { JitMaps } from './jit-maps.ts';
import { Naming } from './naming.ts';
import { Resolver } from './resolver.ts';

const empty = () => new Uint8Array();

/** Names addresses in this process's own libc. @param cpuTime of its thread, nanoseconds */
function ownLibc(cpuTime = () => 0) {
  const host = new LiveHost(loadAddon(), undefined, PATIENT_WAIT_LIMITS);
  const resolver = new Resolver({
    host,
    contexts: noContexts(),
    demangle: noDemangler,
    kernel: undefined,
    maxDepth: 127,
    isSteady: true,
    hasServers: true,
  });
  const pid = hostPid(process.pid);
  const instance = { pid, execId: 0, startNs: host.startTime(pid)!, comm: 0 };
  resolver.tracker.lookup(instance);
  const jit = new JitMaps(host);
  const naming = new Naming(
    resolver,
    new KernelNames({ kallsyms: () => [], modules: empty, now: () => 0 }),
    jit,
    cpuTime,
  );
  const maps = readFileSync('/proc/self/maps', 'latin1');
  const start = Number.parseInt(/^([0-9a-f]+)-\S+ r-xp .*\/libc\.so\.6$/m.exec(maps)![1]!, 16);
  const queries = (...offsets: number[]): AddressQueries => {
    const addresses = offsets.map((offset) => start + offset);
    return {
      length: addresses.length,
      instance: new Uint32Array(addresses.length),
      layout: new Uint32Array(addresses.length),
      low: Uint32Array.from(addresses, (address) => address % 2 ** 32),
      // Exact: no return addresses.
      high: Uint32Array.from(addresses, (address) => Math.floor(address / 2 ** 32) + 2 ** 31),
      samples: new Float64Array(addresses.length).fill(1),
    };
  };
  return {
    naming,
    flush(...offsets: number[]) {
      const located = naming.locate(queries(...offsets), [instance]);
      return { files: [...located.files], name: () => naming.name(located) };
    },
  };
}

function answer(file: DebugInfoFile, name: string, state: DebugInfoState = 'ready'): void {
  const addresses = file.takeQuestions();
  const line = { name, systemName: name, file: 'a.c', line: 7, column: 0, startLine: 5 };
  file.learn(addresses, {
    type: 'answer',
    id: 1,
    state,
    kind: new Uint8Array(addresses.length),
    kinds: ['dwarf'],
    lines: packLines(Array.from(addresses, () => [{ ...line, name: `inner ${name}` }, line])),
    problems: [],
  });
}

test('An answer in time names an address, inlined calls first', () => {
  const { flush } = ownLibc();
  const { files, name } = flush(0x1000);
  answer(files[0]!, 'outer');
  const named = name();
  assert.deepEqual(
    named.fresh[0]!.lines.map((line) => `${line.name} ${line.file}:${line.line}`),
    ['inner outer a.c:7', 'outer a.c:7'],
  );
  assert.equal(flush(0x1000).files[0]!.questions, 0, 'not asked again');
});

test('A name given without the answer is provisional: the late answer gives a new number', () => {
  const { flush } = ownLibc();
  const early = flush(0x1000, 0x2000);
  const first = early.name();
  assert.equal(first.fresh.length, 2);
  const late = flush(0x1000, 0x2000);
  assert.equal(late.name().fresh.length, 0, 'the same as long as there is no answer');
  answer(early.files[0]!, 'late');
  const better = flush(0x1000, 0x2000).name();
  assert.deepEqual(
    better.fresh.map(({ lines }) => lines.at(-1)!.name),
    ['late', 'late'],
  );
  assert.ok(better.locations.every((number) => number > Math.max(...first.locations)));
  assert.equal(flush(0x1000).name().fresh.length, 0, 'now it is known');
});

test('Names of a running download are replaced when it has ended', () => {
  const { flush } = ownLibc();
  const file = flush(0x1000).files[0]!;
  answer(file, 'partial', 'pending');
  assert.equal(flush(0x1000).name().fresh[0]!.lines.at(-1)!.name, 'partial');
  assert.equal(file.takeQuestions().length, 0, 'nothing is asked meanwhile');
  file.changed();
  flush(0x1000);
  answer(file, 'whole');
  assert.equal(flush(0x1000).name().fresh[0]!.lines.at(-1)!.name, 'whole');
});

test('Of two outstanding flushes each gets numbers of its own, which stay what they were', () => {
  const { flush } = ownLibc();
  const [a, b] = [flush(0x1000), flush(0x1000, 0x2000)];
  answer(a.files[0]!, 'both');
  const [first, second] = [a.name(), b.name()];
  assert.equal(first.locations[0], second.locations[0]);
  assert.equal(second.firstNew, first.firstNew + first.fresh.length);
  assert.equal(second.fresh.length, 1);
});

test('A file that was given up keeps the names of its own symbols, and is not asked again', () => {
  const { flush } = ownLibc();
  const file = flush(0x1000).files[0]!;
  file.takeQuestions();
  file.giveUp('debug_info_time_limit');
  const { files, name } = flush(0x1000);
  assert.deepEqual(files, []);
  assert.equal(name().fresh.length, 1);
  assert.deepEqual([...file.problems], [['debug_info_time_limit', 1]]);
});

// A library with ever new addresses and long names took 7 % of a CPU.
test('of a process whose names have cost too much further ones are left out, and counted', () => {
  let [now, each] = [0, 2e9];
  const { flush, naming } = ownLibc(() => {
    now += each;
    return now;
  });
  const first = flush(0x1000).name();
  const known = flush(0x1000, 0x2000).name();
  assert.equal(known.locations[0], first.locations[0]);
  assert.equal(known.fresh.length, 1);
  assert.deepEqual(known.fresh[0]!.lines, []);
  assert.deepEqual([...known.forgotten], [known.locations[1]], 'it may have a name next time');
  assert.equal(naming.problems.get('name_refused'), 1);
  each = 0;
  assert.ok(flush(0x2000).name().locations[0]! > known.locations[1]!);
});

test('numbers of a file with ever new addresses are forgotten on both sides', () => {
  const { flush } = ownLibc();
  const many = Array.from({ length: 17_000 }, (_, i) => 0x1000 + i);
  const { forgotten, locations } = flush(...many).name();
  assert.deepEqual([...forgotten], [...locations.subarray(0, 16_384)]);
  const again = flush(0x1000, many.at(-1)!).name();
  assert.equal(again.fresh.length, 1);
  assert.equal(again.locations[1], locations.at(-1), 'what came later is known');
});
