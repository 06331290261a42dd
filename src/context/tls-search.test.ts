/** Variables of real programs, found in their memory where they themselves say they are. */
import assert from 'node:assert/strict';
import { type ChildProcessByStdio, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { after, describe, test } from 'node:test';
import { loadAddon } from '../capture/addon.ts';
import { LiveHost, type ProcessHost } from '../process/host.ts';
import { ProcessTracker } from '../process/tracker.ts';
import { PATIENT_WAIT_LIMITS } from '../process/wait-budget.ts';
import { hostPid, monotonicTime } from '../units/units.ts';
import type { TlsPlace } from './carrier-layout.ts';
import { TlsSearch } from './tls-search.ts';

const host = new LiveHost(loadAddon(), undefined, PATIENT_WAIT_LIMITS);
const folder = mkdtempSync(join(tmpdir(), 'flametap-tls-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const PROBE = join(import.meta.dirname, 'testdata/probe.c');
const VARIABLE = join(import.meta.dirname, 'testdata/variable.c');

type Child = ChildProcessByStdio<Writable, Readable, null>;

function build(name: string, args: readonly string[], compiler = 'gcc'): string {
  const path = join(folder, name);
  execFileSync(compiler, ['-O2', '-pthread', '-o', path, ...args], { stdio: 'pipe' });
  return path;
}

const library = (name: string, args: readonly string[] = [], compiler?: string): string =>
  build(name, ['-shared', '-fPIC', ...args, VARIABLE], compiler);

/** Threads of a started probe: where they say that the variable is (0 = not used yet), and their pointers. */
async function started(command: readonly string[]) {
  const child: Child = spawn(command[0]!, command.slice(1), {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  let text = '';
  const exited = new Promise((resolve) => child.once('close', resolve));
  for await (const chunk of child.stdout as AsyncIterable<Buffer>) {
    text += chunk.toString();
    if (text.split('\n').length > 3) break;
  }
  const threads = text
    .trim()
    .split('\n')
    .map((line) => line.split(' ').map((word) => Number.parseInt(word, 16)));
  assert.equal(threads.length, 3, text);
  const end = async (): Promise<void> => {
    child.stdin.end();
    await exited;
  };
  return { pid: hostPid(child.pid!), threads: threads as [number, number][], end };
}

const identity = (pid: number) => ({
  pid: hostPid(pid),
  execId: 1,
  startNs: host.startTime(hostPid(pid))!,
});

function word(pid: number, address: number): number {
  const bytes = host.readMemory(hostPid(pid), address, 8);
  return Number(new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true));
}

/** What the kernel side does with a place; 0 = the thread has no block of the module. */
function address(pid: number, place: TlsPlace, pointer: number): number {
  if (place.kind === 'static') return pointer + place.offset;
  assert.equal(place.kind, 'dynamic');
  const vector = word(pid, pointer + 8);
  const length = word(pid, place.dtvStep === 16 ? vector - 16 : vector);
  if (place.module > length || (place.dtvStep === 16 && word(pid, vector) < place.generation)) {
    return 0;
  }
  const block = word(pid, vector + place.module * place.dtvStep);
  return block === 0 || block >= 2 ** 63 ? 0 : block + place.offset;
}

/** The place of the variable, which must be where each thread says. */
async function found(command: readonly string[], isUsed = true): Promise<TlsPlace> {
  const { pid, threads, end } = await started(command);
  try {
    const tracker = new ProcessTracker(host);
    const process = tracker.lookup(identity(pid));
    const search = new TlsSearch(host);
    search.look(process, 0);
    assert.deepEqual(search.step(1000), [process]);
    assert.deepEqual([...search.problems], isUsed ? [] : [['tls_no_relocation', 1]]);
    const place = search.of(process).get('otel_thread_ctx_v1')!;
    const labels = search.of(process).get('custom_labels_current_set') ?? place;
    assert.ok(Math.abs(labels.offset - place.offset) < 64 && labels.kind === place.kind);
    assert.equal(labels !== place, isUsed);
    for (const [said, pointer] of threads) {
      const read = address(pid, place, pointer);
      // A thread that has not used it has no block yet, or one that nobody has written to.
      if (said !== 0) assert.equal(read.toString(16), said.toString(16));
      else assert.ok(read === 0 || word(pid, read) === 0);
    }
    return place;
  } finally {
    await end();
  }
}

describe('the program has the variable', () => {
  const programs: [string, readonly string[], string?][] = [
    ['exported', ['-Wl,--export-dynamic']],
    ['not exported', []],
    ['with a fixed address', ['-no-pie', '-fno-pie']],
    ['static', ['-static']],
    ['static and movable', ['-static-pie', '-DALIGNED=64']],
    ['aligned by 256', ['-static', '-DALIGNED=256']],
    ['aligned by a page', ['-DALIGNED=4096', '-DBEFORE=5000']],
    ['by lld', ['-fuse-ld=lld', '-DALIGNED=128', '-Wl,--export-dynamic']],
    ['by lld, static', ['-fuse-ld=lld', '-static', '-DALIGNED=32']],
    ['with musl', [], 'musl-gcc'],
    ['with musl, static', ['-static', '-DALIGNED=64'], 'musl-gcc'],
  ];
  for (const [name, args, compiler] of programs) {
    test(name, async () => {
      const program = build('program', ['-DLINKED', PROBE, VARIABLE, ...args], compiler);
      const place = await found([program]);
      assert.ok(place.kind === 'static' && place.offset < 0);
    });
  }
});

describe('a library has the variable', () => {
  const loader = build('loader', [PROBE, '-ldl']);
  const dialects: [string, readonly string[], TlsPlace['kind']][] = [
    ['general dynamic', [], 'dynamic'],
    ['initial exec', ['-ftls-model=initial-exec'], 'static'],
    ['descriptors, in the static block', ['-mtls-dialect=gnu2'], 'static'],
    ['descriptors, in a block of its own', ['-mtls-dialect=gnu2', '-DBEFORE=9000'], 'dynamic'],
    ['symbolic', ['-Wl,-Bsymbolic', '-DVISIBILITY="protected"'], 'dynamic'],
    [
      'descriptors, symbolic, in a block of its own',
      ['-mtls-dialect=gnu2', '-DVISIBILITY="protected"', '-DBEFORE=9000'],
      'dynamic',
    ],
    ['initial exec, symbolic', ['-ftls-model=initial-exec', '-DVISIBILITY="protected"'], 'static'],
    ['by lld, descriptors', ['-fuse-ld=lld', '-mtls-dialect=gnu2', '-DBEFORE=9000'], 'dynamic'],
    ['stripped of section headers', ['-Wl,-s,--hash-style=gnu', '-Wl,-z,norelro'], 'dynamic'],
  ];
  for (const [name, args, kind] of dialects) {
    test(`loaded late, ${name}`, async () => {
      const path = library('late.so', args);
      assert.equal((await found([loader, path])).kind, kind);
    });
  }

  // Only the program's own relocation says where: the library does not use its variable itself.
  test('linked, used only by the program', async () => {
    const path = library('unused.so', ['-DWITHOUT_USE']);
    const program = build('user', ['-DEXTERN', PROBE, path]);
    assert.equal((await found([program], false)).kind, 'static');
  });

  for (const dialect of ['gnu', 'gnu2']) {
    test(`linked, ${dialect}`, async () => {
      const path = library('linked.so', [`-mtls-dialect=${dialect}`]);
      await found([build('linked', ['-DLINKED', PROBE, path])]);
    });
  }

  // More modules than the vector of a thread that runs already has places for.
  test('loaded after many others', async () => {
    const path = library('first.so');
    const copies = Array.from({ length: 24 }, (_, n) => join(folder, `copy-${n}.so`));
    for (const copy of copies) copyFileSync(path, copy);
    const search = new TlsSearch(host);
    const { pid, threads, end } = await started([loader, ...copies]);
    try {
      const process = new ProcessTracker(host).lookup(identity(pid));
      search.look(process, 0);
      search.step(1000);
      // Each has a variable of its own: the first is the one that others find.
      const place = search.of(process).get('otel_thread_ctx_v1')!;
      const last = { ...place, module: place.module + copies.length - 1 };
      assert.equal(address(pid, last, threads[1]![1]), threads[1]![0]);
      assert.equal(address(pid, last, threads[2]![1]), 0);
    } finally {
      await end();
    }
  });

  // Threads that ran before have the block of the first one there still.
  test('unloaded, and its number given to another', async () => {
    const paths = ['gone.so', 'next.so'].map((name) => library(name));
    const program = build('reload', [join(import.meta.dirname, 'testdata/reload.c'), '-ldl']);
    const child = spawn(program, paths, { stdio: ['pipe', 'pipe', 'inherit'] });
    try {
      await once(child.stdout, 'data');
      const tracker = new ProcessTracker(host);
      const process = tracker.lookup(identity(child.pid!));
      const search = new TlsSearch(host);
      const look = (): TlsPlace | undefined => {
        search.look(process, 1000);
        return search.of(process).get('otel_thread_ctx_v1');
      };
      const before = look();
      assert.deepEqual([before?.kind, before?.generation], ['dynamic', 0]);
      // Something else is loaded: nothing has changed for the variable.
      assert.ok(tracker.refresh(process, monotonicTime(1e15)));
      assert.deepEqual(look(), before);
      child.stdin.write('\n');
      await once(child.stdout, 'data');
      assert.ok(tracker.refresh(process, monotonicTime(2e15)));
      assert.equal(look(), undefined);
      assert.ok(search.problems.get('tls_module_reused')! > 0);
    } finally {
      child.stdin.end();
      child.kill();
    }
  });

  test('with musl', async () => {
    const path = library('musl.so', [], 'musl-gcc');
    const musl = build('musl-loader', [PROBE], 'musl-gcc');
    const place = await found([musl, path]);
    assert.deepEqual([place.kind, place.dtvStep], ['dynamic', 8]);
    await found([build('musl-linked', ['-DLINKED', PROBE, path], 'musl-gcc')]);
  });
});

describe('when', () => {
  /** The machine, with some answers of its own. */
  function hostWith(own: Partial<ProcessHost>): ProcessHost {
    return {
      files: host.files,
      stateOf: (pid, mapping) => host.stateOf(pid, mapping),
      openOnHost: (path) => host.openOnHost(path),
      readMaps: (pid) => host.readMaps(pid),
      startTime: (pid) => host.startTime(pid),
      openMapped: (pid, mapping) => host.openMapped(pid, mapping),
      openInRoot: (pid, path) => host.openInRoot(pid, path),
      openRoot: (pid) => host.openRoot(pid),
      openBelow: (root, path) => host.openBelow(root, path),
      readMemory: (pid, at, length) => host.readMemory(pid, at, length),
      readVdso: (pid, at, length) => host.readVdso(pid, at, length),
      innermostPid: (pid) => host.innermostPid(pid),
      userIds: (pid) => host.userIds(pid),
      ...own,
    };
  }

  /** Looks at a program with the variable in a library, as `own` lets it. */
  async function looking(
    own: Partial<ProcessHost>,
    check: (search: TlsSearch, tracker: ProcessTracker, pid: number) => void,
    clock?: () => number,
  ): Promise<void> {
    const path = library('shared.so');
    const { pid, end } = await started([build('sharing', ['-DLINKED', PROBE, path])]);
    try {
      check(new TlsSearch(hostWith(own), clock), new ProcessTracker(host), pid);
    } finally {
      await end();
    }
  }

  // The loader fills in its words after the last file is mapped.
  test('too early: looked at again, until the words are there', async () => {
    let [now, isRelocated] = [0, false];
    const readMemory: ProcessHost['readMemory'] = (pid, at, length) =>
      isRelocated ? host.readMemory(pid, at, length) : new Uint8Array(length);
    await looking(
      { readMemory },
      (search, tracker, pid) => {
        const process = tracker.lookup(identity(pid));
        search.look(process, 1e6);
        assert.equal(search.of(process).size, 0);
        for (let tries = 0; tries < 2; tries++) {
          const due = search.due!;
          assert.ok(due > 0 && due < 1000, `${due} ms`);
          assert.deepEqual(search.step(1e6), [], 'not before its time');
          now += due;
          assert.deepEqual(search.step(1e6), []);
        }
        isRelocated = true;
        now += search.due!;
        assert.deepEqual(search.step(1e6), [process]);
        assert.ok(search.of(process).has('otel_thread_ctx_v1'));
        assert.equal(search.due, undefined);
      },
      () => now,
    );
  });

  test('never: given up with a reason', async () => {
    let now = 0;
    await looking(
      { readMemory: (_pid, _at, length) => new Uint8Array(length) },
      (search, tracker, pid) => {
        search.look(tracker.lookup(identity(pid)), 1e6);
        let tries = 0;
        for (; search.due !== undefined; tries++) {
          now += search.due;
          search.step(1e6);
        }
        assert.ok(tries < 10 && search.problems.get('tls_not_relocated') === 1);
      },
      () => now,
    );
  });

  test('a file that cannot be opened at once', async () => {
    let [now, failures] = [0, 0];
    const openMapped: ProcessHost['openMapped'] = (pid, mapping) => {
      if (mapping.path.endsWith('shared.so') && failures++ === 0) throw new Error('not now');
      return host.openMapped(pid, mapping);
    };
    await looking(
      { openMapped },
      (search, tracker, pid) => {
        const process = tracker.lookup(identity(pid));
        search.look(process, 1e6);
        assert.equal(search.of(process).size, 0);
        now += search.due!;
        assert.deepEqual(search.step(1e6), [process]);
        assert.equal(search.of(process).size, 2);
      },
      () => now,
    );
  });

  // Each file once, however many processes map it; a forked process has what its parent has.
  test('files and processes that are known are not looked at again', async () => {
    let opened = 0;
    const openMapped: ProcessHost['openMapped'] = (pid, mapping) => {
      opened++;
      return host.openMapped(pid, mapping);
    };
    await looking({ openMapped }, (search, tracker, pid) => {
      const parent = tracker.lookup(identity(pid));
      search.look(parent, 1e6);
      const once = opened;
      assert.ok(once > 2);
      search.look(parent, 1e6);
      const child = { ...identity(pid), pid: hostPid(pid + 1_000_000) };
      tracker.fork(child, parent.identity);
      const forked = tracker.find(child)!;
      assert.deepEqual(search.of(forked), search.of(parent));
      search.look(forked, 1e6);
      assert.equal(search.due, undefined);
      assert.equal(opened, once);
    });
  });
});
