/** Entry of the debug-info thread: wires the names of files to its messages. */
import { setPriority, constants as systemConstants } from 'node:os';
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { loadAddon } from '../capture/addon.ts';
import type { SymbolSources } from '../cli/profiler-seam.ts';
import {
  CACHE_LIMITS,
  DebugCache,
  defaultCacheFolder,
  type LinkFile,
} from '../debuginfo/debug-cache.ts';
import type { Downloads, SumOutcome } from '../debuginfo/debug-search.ts';
import { Debuginfod, debuginfodServers } from '../debuginfo/debuginfod.ts';
import { FileRoots } from '../debuginfo/file-roots.ts';
import { fileFailure } from '../elf/file-source.ts';
import { ParseError } from '../elf/source.ts';
import { LiveHost } from '../process/host.ts';
import { PATIENT_WAIT_LIMITS } from '../process/wait-budget.ts';
import { cachingDemangler } from '../symbolize/demangle.ts';
import { SOURCE_QUALITY } from '../symbolize/source-line.ts';
import {
  type DebugInfoAnswer,
  type DebugInfoSetup,
  type FromDebugInfo,
  type Lookup,
  packLines,
  type ToDebugInfo,
  transferables,
} from './debug-info-messages.ts';
import { DebugInfoNames } from './debug-info-names.ts';

/** Each keeps descriptors and what it has decompressed. */
const MAX_OPEN = 4;

const noDownloads: Downloads = {
  isConfigured: false,
  request: () => undefined,
  takeProblems: () => [],
};

function run(port: MessagePort, { symbols }: DebugInfoSetup): void {
  const addon = loadAddon();
  const host = new LiveHost(addon, undefined, PATIENT_WAIT_LIMITS);
  const demangle = cachingDemangler((name) => addon.demangle(name) ?? '');
  /** Least recently asked first. */
  const opened = new Map<number, DebugInfoNames>();
  const rootsOf = new WeakMap<DebugInfoNames, FileRoots>();
  /** What is being downloaded for files, open or not. */
  const awaiting = new Map<number, ReadonlySet<string>>();
  const send = (message: FromDebugInfo, transfer: ArrayBuffer[] = []) =>
    port.postMessage(message, transfer);

  const close = (file: number) => {
    opened.get(file)?.close();
    opened.delete(file);
  };
  /** Downloads that ended during a request: they may be those that it began. */
  const settled = new Set<string>();
  const reopen = () => {
    for (const [file, buildIds] of awaiting) {
      if (![...buildIds].some((each) => settled.has(each))) continue;
      awaiting.delete(file);
      close(file);
      send({ type: 'changed', file });
    }
  };

  const servers = symbols
    ? debuginfodServers(symbols.debuginfodUrls, undefined)
    : debuginfodServers([], process.env.DEBUGINFOD_URLS);
  const debuginfod =
    servers.length === 0
      ? undefined
      : new Debuginfod(servers, cacheOf(symbols, addon.linkFile), (buildId) => {
          settled.add(buildId);
          reopen();
          send({ type: 'downloads', running: debuginfod?.running ?? 0 });
        });

  /** One is served at a time. */
  let request = 0;
  const begins = (source: string) => send({ type: 'begins', id: request, source });
  const summed = (source: string, outcome: SumOutcome) =>
    send({ type: 'summed', id: request, source, outcome });

  const ownerOf = (fd: number): number => {
    try {
      return host.files.state(fd).owner;
    } catch (cause) {
      throw fileFailure(cause);
    }
  };

  const namesOf = async (message: Lookup): Promise<DebugInfoNames> => {
    const { file, fd, path } = message;
    let names = opened.get(file);
    opened.delete(file);
    if (names) {
      // Split files are opened only when their units occur.
      rootsOf.get(names)!.roots = message.roots;
    } else {
      const roots = new FileRoots(host, message.roots, ownerOf(fd));
      const watch = {
        skipped: new Set(message.skipped),
        trusted: new Set(message.trusted),
        begins,
        summed,
      };
      const downloads = debuginfod ?? noDownloads;
      names = await DebugInfoNames.open({ fd, path, roots }, downloads, demangle, watch);
      rootsOf.set(names, roots);
    }
    opened.set(file, names);
    for (const oldest of opened.keys()) {
      if (opened.size <= MAX_OPEN) break;
      close(oldest);
    }
    return names;
  };

  const answer = async (message: Lookup): Promise<DebugInfoAnswer> => {
    request = message.id;
    settled.clear();
    const names = await namesOf(message);
    const { kind, lines } = names.lookup(message.addresses);
    const { state } = names;
    return {
      type: 'answer',
      id: message.id,
      state,
      kind,
      kinds: SOURCE_QUALITY,
      lines: packLines(lines),
      problems: names.takeProblems(),
    };
  };

  port.on('message', async (message: ToDebugInfo) => {
    if (message.type === 'free') {
      for (const file of [...opened.keys()]) close(file);
      return;
    }
    let answered: DebugInfoAnswer;
    try {
      answered = await answer(message);
    } catch (cause) {
      if (!(cause instanceof ParseError)) throw cause;
      answered = nothing(message, cause.reason);
    }
    send({ type: 'downloads', running: debuginfod?.running ?? 0 });
    send(answered, transferables(answered));
    const names = opened.get(message.file);
    if (answered.state === 'pending' && names) {
      awaiting.set(message.file, new Set(names.awaited));
      reopen();
    } else {
      awaiting.delete(message.file);
      // Asked again it may have become another.
      if (answered.state === 'none') close(message.file);
    }
  });
}

function cacheOf(symbols: SymbolSources | undefined, linkFile: LinkFile): DebugCache {
  if (!symbols) return new DebugCache(defaultCacheFolder(), linkFile);
  const limits = { ...CACHE_LIMITS, bytes: symbols.maxCacheBytes };
  return new DebugCache(symbols.cacheDir || defaultCacheFolder(), linkFile, limits);
}

function nothing({ id, addresses }: Lookup, reason: string): DebugInfoAnswer {
  return {
    type: 'answer',
    id,
    state: 'none',
    kind: new Uint8Array(addresses.length),
    kinds: SOURCE_QUALITY,
    lines: packLines(Array.from(addresses, () => undefined)),
    problems: [[reason, 1]],
  };
}

// The resolver's thread, whose priority was inherited, is in a hurry; this one is not.
setPriority(systemConstants.priority.PRIORITY_NORMAL);
if (parentPort) run(parentPort, workerData as DebugInfoSetup);
