/**
 * One scenario of addon.test.ts, in a process of its own with the addon under
 * AddressSanitizer: `node addon-exercise.ts ADDON SCENARIO`. Prints `done` at its end.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import {
  type Addon,
  loadAddon,
  type NativeSampler,
  type NativeSamplerOptions,
  nativeFiles,
} from '../src/capture/addon.ts';
import { ProcessValue } from '../src/capture/record.ts';

const RING_BYTES = 512 * 1024;
const options: NativeSamplerOptions = {
  object: nativeFiles().object,
  cpus: 2,
  ringBytes: RING_BYTES,
  config: { ft_max_depth: new Uint8Array(Uint32Array.of(64).buffer) },
  entries: { ft_processes: 64, ft_mappings: 256, ft_files: 16, ft_tables: 4096 },
};

function started(addon: Addon): NativeSampler {
  const sampler = new addon.Sampler(options);
  sampler.watch(0, 999);
  return sampler;
}

/** Busy on this thread, so that there is something to sample. */
function spin(milliseconds: number): void {
  for (const end = performance.now() + milliseconds; performance.now() < end; );
}

const scenarios: Record<string, (addon: Addon) => Promise<void> | void> = {
  /** Load, watch, drain and close, again and again; nothing is left open. */
  async cycles(addon) {
    const records = new Uint8Array(1 << 20);
    const sideband = new Uint8Array(256 << 10);
    const descriptors = () => readFileSync('/proc/self/status', 'latin1').match(/FDSize:.*/)![0];
    let size = '';
    for (let i = 0; i < 30; i++) {
      const sampler = started(addon);
      let woken = 0;
      sampler.onReadable(() => woken++);
      spin(15);
      await sleep(1);
      assert.ok(sampler.drain(records) >= 0);
      assert.ok(sampler.drainSideband(sideband) >= 0);
      assert.ok(sampler.counters().length > 5);
      assert.ok(sampler.mapMemory() > 0);
      assert.ok(sampler.mapDescriptor('ft_tables') > 0);
      sampler.enableRunStats();
      assert.ok(sampler.runStats().length > 2);
      assert.throws(() => sampler.attach('ft_none'), { code: 'ENOENT' });
      const [enabled, counted] = sampler.eventTimes(0)!;
      assert.ok(enabled! > 0n && counted! > 0n);
      sampler.unwatch(0);
      sampler.unwatch(0);
      assert.equal(sampler.eventTimes(0), undefined);
      assert.throws(() => sampler.watch(options.cpus, 99), { code: 'ENODEV' });
      sampler.unwatch(7);
      sampler.drainSideband(sideband);
      sampler.watch(0, 99);
      sampler.onReadable(() => woken++);
      sampler.close();
      sampler.close();
      assert.equal(sampler.drain(records), 0);
      assert.equal(sampler.drainSideband(sideband), 0);
      assert.deepEqual(sampler.runStats(), []);
      assert.throws(() => sampler.watch(0, 99), { code: 'EBADF' });
      assert.throws(() => sampler.attach('ft_publication'), { code: 'EBADF' });
      assert.throws(() => sampler.counters(), { code: 'EBADF' });
      assert.throws(() => sampler.onReadable(() => {}), { code: 'EBADF' });
      assert.throws(() => sampler.mapDescriptor('ft_tables'), { code: 'ENOENT' });
      if (i === 5) size = descriptors();
    }
    assert.equal(descriptors(), size);
  },

  /** Every argument of every function, wrong in every way: an error, never a crash. */
  arguments(addon) {
    const sampler = started(addon);
    const wrong: unknown[] = [
      undefined,
      null,
      true,
      -1,
      1.5,
      Number.NaN,
      Number.POSITIVE_INFINITY,
      2 ** 31,
      2 ** 53,
      1e300,
      'text',
      Symbol('s'),
      10n,
      {},
      [],
      () => {},
      new Uint8Array(),
      new Uint8Array(3),
      new Float64Array(4),
      new DataView(new ArrayBuffer(8)),
      new ArrayBuffer(8),
      new Proxy({}, {}),
      structuredClone(new Uint8Array(8), {}),
    ];
    const detached = new Uint8Array(8);
    structuredClone(detached, { transfer: [detached.buffer] });
    wrong.push(detached);
    const tables = sampler.mapDescriptor('ft_tables');
    const key = new Uint8Array(4);
    const calls = new addon.BoundedCalls();
    calls.limit = 1000;
    const good: [string, object, unknown[]][] = [
      ['mapUpdate', addon, [tables, key, new Uint8Array(8)]],
      ['mapDelete', addon, [sampler.mapDescriptor('ft_processes'), key]],
      ['mapEntries', addon, [sampler.mapDescriptor('ft_processes')]],
      ['arrayWrite', addon, [tables, 8, new Uint8Array(8)]],
      ['readMemory', calls, [process.pid, 4096, new Uint8Array(8)]],
      ['open', calls, ['/nowhere', 'regular', 0]],
      ['state', calls, [0]],
      ['read', calls, [calls.open(nativeFiles().object, 'regular'), new Uint8Array(8), 0]],
      ['isOver', calls, [1]],
      ['lockFile', addon, [2]],
      ['demangle', addon, ['_Z3foov']],
      ['watch', sampler, [0, 99]],
      ['unwatch', sampler, [1]],
      ['drain', sampler, [new Uint8Array(RING_BYTES)]],
      ['drainSideband', sampler, [new Uint8Array(1 << 16)]],
      ['mapDescriptor', sampler, ['ft_tables']],
      ['onReadable', sampler, [() => {}]],
    ];
    const call = (name: string, receiver: object, args: unknown[]) => {
      try {
        (receiver as Record<string, (...args: unknown[]) => unknown>)[name]!(...args);
      } catch (cause) {
        assert.ok(cause instanceof Error, `${name} threw ${String(cause)}`);
        return cause;
      }
      return undefined;
    };
    for (const [name, receiver, args] of good) {
      assert.ok(call(name, receiver, []) instanceof TypeError, `${name}() was taken`);
      for (let i = 0; i < args.length; i++) {
        for (const value of wrong) call(name, receiver, args.toSpliced(i, 1, value));
        const refused = call(name, receiver, args.toSpliced(i, 1, Symbol('s')));
        assert.ok(refused instanceof TypeError, `${name} took a symbol as argument ${i}`);
      }
      // Wrong `this`: not an object of ours.
      if (receiver === sampler) assert.ok(call(name, Object.create(sampler), args));
    }
    // A key or value shorter than the map's would be read beyond its end.
    assert.throws(() => addon.mapUpdate(tables, key, new Uint8Array(4)), TypeError);
    assert.throws(() => addon.mapUpdate(tables, new Uint8Array(3), new Uint8Array(8)), TypeError);
    assert.throws(() => addon.mapDelete(tables, new Uint8Array()), TypeError);
    // Past the last element; and a file, whose mapping beyond its end is deadly.
    const size = options.entries.ft_tables! * 8;
    assert.throws(() => addon.arrayWrite(tables, size - 4, new Uint8Array(8)), RangeError);
    assert.throws(() => addon.arrayWrite(2, 0, new Uint8Array(8)), Error);
    addon.arrayWrite(tables, size - 8, new Uint8Array(8));
    const processes = sampler.mapDescriptor('ft_processes');
    assert.throws(() => addon.arrayWrite(processes, 0, new Uint8Array(8)), RangeError);
    assert.equal(addon.mapDelete(processes, key), false);
    for (const map of [tables, 2, -1]) assert.throws(() => addon.mapClear(map), Error);
    const process7 = Uint8Array.of(7, 0, 0, 0);
    addon.mapUpdate(processes, process7, new Uint8Array(ProcessValue.size));
    addon.mapClear(processes);
    assert.equal(addon.mapDelete(processes, process7), false);
    for (const map of [tables, 2, -1]) assert.throws(() => addon.mapEntries(map), Error);
    assert.equal(addon.mapEntries(processes).length, 0);
    assert.throws(() => sampler.drain(new Uint8Array(RING_BYTES - 1)), RangeError);
    for (const property of ['object', 'cpus', 'ringBytes', 'config', 'entries']) {
      for (const value of [undefined, null, -1, Number.NaN, 'x', [1], {}, Symbol('s')]) {
        const made = { ...options, [property]: value } as NativeSamplerOptions;
        if (['config', 'entries'].includes(property) && value && !Array.isArray(value)) continue;
        assert.throws(() => new addon.Sampler(made).close(), Error, `${property}`);
      }
    }
    const odd = [
      { ...options, ringBytes: 5000 },
      { ...options, entries: { nothing: 1 } },
      { ...options, entries: { ft_tables: 0 } },
      { ...options, config: { nothing: new Uint8Array(4) } },
      { ...options, config: { ft_max_depth: new Uint8Array(3) } },
      { ...options, config: { ft_max_depth: 'deep' } },
      { ...options, object: '/dev/null' },
      { ...options, object: process.execPath },
    ];
    for (const made of odd) {
      assert.throws(() => new addon.Sampler(made as NativeSamplerOptions), Error);
    }
    assert.throws(() => (addon.Sampler as unknown as () => void)(), TypeError);
    sampler.close();
  },

  /** The process ends while the rings are watched. */
  exit(addon) {
    const sampler = started(addon);
    sampler.onReadable(() => {});
    spin(20);
    console.log('done');
    process.exit(0);
  },

  /** Nobody holds the sampler any more while it is watched. */
  async forgotten(addon) {
    for (let i = 0; i < 5; i++) {
      started(addon).onReadable(() => {});
      await sleep(5);
      gc!();
    }
    await sleep(20);
    gc!();
    await sleep(5);
  },

  /** Closed, or watched anew, by the callback itself. */
  async reentrant(addon) {
    for (const again of [false, true]) {
      const sampler = started(addon);
      await new Promise<void>((resolve) => {
        sampler.onReadable(() => {
          if (again) sampler.onReadable(() => resolve());
          else {
            sampler.close();
            resolve();
          }
        });
        const busy = setInterval(() => spin(20), 25);
        sleep(2000).then(() => {
          clearInterval(busy);
          resolve();
        });
      });
      sampler.close();
    }
  },

  /** What the callback throws belongs to the process. */
  async thrown(addon) {
    const sampler = started(addon);
    const caught = new Promise((resolve) => process.once('uncaughtException', resolve));
    sampler.onReadable(() => {
      throw new Error('from the callback');
    });
    const busy = setInterval(() => spin(20), 25);
    assert.match(String(await caught), /from the callback/);
    clearInterval(busy);
    sampler.close();
  },

  /** A thread is terminated while its sampler is watched. */
  async worker() {
    for (let i = 0; i < 40; i++) {
      const worker = new Worker(import.meta.filename, { workerData: process.argv[2] });
      await new Promise((resolve) => worker.once('message', resolve));
      spin(10);
      await worker.terminate();
    }
  },
};

if (isMainThread) {
  const [path, scenario] = process.argv.slice(2);
  await scenarios[scenario!]!(loadAddon(path!));
  console.log('done');
  process.exit();
} else {
  const sampler = started(loadAddon(workerData as string));
  sampler.onReadable(() => {});
  parentPort!.postMessage('ready');
}
