/** Entry of the resolver's thread: wires the resolver to its messages. */
import { readFileSync } from 'node:fs';
import { type MessagePort, parentPort } from 'node:worker_threads';
import { loadAddon } from '../capture/addon.ts';
import { type ContextSource, LiveContexts } from '../context/context-source.ts';
import { ProcessContexts } from '../context/process-contexts.ts';
import { LiveHost, type ProcessHost } from '../process/host.ts';
import { parseKernelCode } from '../process/kernel-sideband.ts';
import { machineClock } from '../process/time-namespace.ts';
import { PATIENT_WAIT_LIMITS, WAIT_LIMITS } from '../process/wait-budget.ts';
import { WorkNote } from '../process/work-note.ts';
import { cachingDemangler } from '../symbolize/demangle.ts';
import { type KernelFiles, KernelNames } from '../symbolize/kernel-names.ts';
import { KernelMapWriter } from '../unwind/map-writer.ts';
import {
  AGENT_DEBUG_INFO_LIMITS,
  DEBUG_INFO_LIMITS,
  DebugInfoClient,
} from './debug-info-client.ts';
import { DebugInfoWait } from './debug-info-wait.ts';
import { filePieces } from './file-pieces.ts';
import { JitMaps } from './jit-maps.ts';
import type { FromResolver, ResolverStats, Snapshot, ToResolver } from './messages.ts';
import { Naming } from './naming.ts';
import { AGENT_READING_LIMITS, READING_LIMITS, ReadingBudget } from './reading-budget.ts';
import { type Mark, Resolver } from './resolver.ts';
import { ownTask } from './run-queue-wait.ts';
import { RecordingContexts, ReplayContexts } from './snapshot-contexts.ts';
import { RecordingHost, ReplayHost } from './snapshot-host.ts';
import { ThreadPriority } from './thread-priority.ts';

const kernelFiles: KernelFiles = {
  kallsyms: () => filePieces('/proc/kallsyms'),
  modules: () => readOptional('/proc/modules'),
  now: () => performance.now(),
};

function allStats(
  resolver: Resolver,
  ...others: readonly { readonly problems: ReadonlyMap<string, number> }[]
): ResolverStats {
  const stats = resolver.stats();
  const problems = { ...stats.problems };
  for (const { problems: source } of others) {
    for (const [reason, count] of source) problems[reason] = (problems[reason] ?? 0) + count;
  }
  return { ...stats, problems };
}

function readOptional(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch {
    return new Uint8Array();
  }
}

const cpuMs = (): number => threadCpu() / 1e6;

/** Nanoseconds. */
function threadCpu(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) * 1000;
}

/** Pause between two looks into processes, each of which takes a few milliseconds. */
const LOOK_INTERVAL_MS = 50;

/**
 * The debug-info thread, the loading of BPF programs and large files leave holes
 * in the C library's heaps: 10 MB that it would keep.
 */
const RELEASE_INTERVAL_MS = 30_000;

const UNMANAGED = /^File descriptor \d+ (closed but not opened|opened) in unmanaged mode/;

type Question = Extract<ToResolver, { type: 'resolve' }>;

type Start = Extract<ToResolver, { type: 'start' }>;

function run(port: MessagePort, { setup, note, refused }: Start): void {
  const send = (message: FromResolver, transfer: ArrayBuffer[] = []) =>
    port.postMessage(message, transfer);
  process.on('warning', ({ name, message }) => {
    // Some descriptors were opened by the addon, which Node has not seen.
    if (!UNMANAGED.test(message)) send({ type: 'warning', name, message });
  });
  const priority = setup.maps && new ThreadPriority({ clock: () => performance.now(), cpu: cpuMs });
  const addon = loadAddon();
  const monotonicNow = machineClock();
  const work = new WorkNote(note, refused);
  const waits = setup.isSteady ? WAIT_LIMITS : PATIENT_WAIT_LIMITS;
  const live = new LiveHost(addon, work, waits);
  // Reading the mappings of a process is work of another thread.
  const cpuTime = () => threadCpu() + live.files.cpuTime;
  let host: ProcessHost = live;
  let contexts: ContextSource = new LiveContexts(live, monotonicNow);
  if (setup.snapshots) {
    host = new ReplayHost(live, setup.snapshots);
    contexts = new ReplayContexts(setup.snapshots);
  } else if (setup.saveSnapshots) {
    const save = (snapshot: Snapshot) => send({ type: 'snapshot', snapshot });
    host = new RecordingHost(live, save);
    contexts = new RecordingContexts(contexts, save);
  }
  const resolver: Resolver = new Resolver({
    host,
    contexts: new ProcessContexts({
      source: contexts,
      isAnnounced: setup.announcesContexts,
      isReplay: setup.snapshots !== undefined,
      clock: monotonicNow,
      cost: cpuTime,
      account: {
        mayLook: (one) => resolver.costs.pauseMs(one) === 0,
        owe: (one, ns) => resolver.costs.owe(one, ns / 1e6),
      },
    }),
    demangle: cachingDemangler((name) => addon.demangle(name) ?? ''),
    kernel: setup.maps && { maps: setup.maps, writer: new KernelMapWriter(addon) },
    note: work,
    maxDepth: setup.maxDepth,
    isSteady: setup.isSteady,
    monotonicNow,
    cpuTime,
    hasServers: setup.symbols
      ? setup.symbols.debuginfodUrls.length > 0
      : /\S/.test(process.env.DEBUGINFOD_URLS ?? ''),
  });
  if (setup.isSteady) setInterval(() => addon.releaseMemory(), RELEASE_INTERVAL_MS).unref();
  const kernelNames = new KernelNames(kernelFiles);
  const jit = new JitMaps(
    host,
    new ReadingBudget(setup.isSteady ? AGENT_READING_LIMITS : READING_LIMITS),
  );
  const naming = new Naming(resolver, kernelNames, jit, cpuTime);
  const debugInfo = new DebugInfoClient(
    setup.isSteady ? AGENT_DEBUG_INFO_LIMITS : DEBUG_INFO_LIMITS,
    { symbols: setup.symbols },
  );
  const wait = new DebugInfoWait(debugInfo, setup.patience, (waiting) =>
    send({ type: 'waiting', waiting }),
  );
  /** Of takes that are not resolved yet. */
  const marks: Mark[] = [];
  const resolve = async ({ id, queries, instances }: Question): Promise<void> => {
    const begun = marks.shift() ?? resolver.mark();
    const located = naming.locate(queries, instances);
    // Batches and other messages are served meanwhile.
    await wait.for(located.files, located.frames);
    const named = naming.name(located);
    resolver.forget(begun);
    send({ type: 'resolution', id, ...named }, [named.locations.buffer]);
  };
  let looking: NodeJS.Timeout | undefined;
  /** When it looks. */
  let looksAt = Number.POSITIVE_INFINITY;
  /** While nothing happens: what processes have not said yet. */
  const lookLater = (): void => {
    const due = resolver.lookDue;
    if (due === undefined) return;
    const pause = Math.max(LOOK_INTERVAL_MS, due);
    const at = performance.now() + pause;
    // Batches that come faster than that put no look off.
    if (at >= looksAt) return;
    clearTimeout(looking);
    looksAt = at;
    looking = setTimeout(() => {
      looksAt = Number.POSITIVE_INFINITY;
      resolver.look();
      lookLater();
    }, pause);
  };
  /** One after the other: what is closed after one may not be needed by another. */
  let turn = Promise.resolve();
  port.on('message', (message: ToResolver) => {
    switch (message.type) {
      case 'start':
        break;
      case 'batch': {
        parseKernelCode(message.sideband, ({ start, size, name }) =>
          kernelNames.loaded.add(start, size, name),
        );
        const { records, sideband } = message;
        const before = cpuMs();
        const written = resolver.batch(records, sideband, message);
        const done = { type: 'done', ...written, cpuMs: cpuMs() - before } as const;
        send(done, written.records ? [written.records.buffer] : []);
        priority?.worked();
        lookLater();
        break;
      }
      case 'resolve':
        turn = turn.then(() => resolve(message));
        break;
      case 'ping':
        send({ type: 'pong' });
        break;
      case 'hurry':
        wait.hurry();
        break;
      case 'sync':
        if (message.isTake) marks.push(resolver.mark());
        send({
          type: 'synced',
          id: message.id,
          stats: allStats(resolver, kernelNames, jit, naming),
        });
        break;
      case 'stop':
        debugInfo.close();
        clearTimeout(looking);
        void turn.then(() => {
          jit.close();
          resolver.close();
          send({ type: 'stopped' });
          port.close();
        });
    }
  });
  send({ type: 'ready', task: ownTask() });
}

parentPort?.once('message', (message: ToResolver) => {
  if (message.type === 'start' && parentPort) run(parentPort, message);
});
