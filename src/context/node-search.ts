/** Which library offers context in a Node.js process, and what the kernel side has to know to read it. */
import { BlockCache } from '../elf/block-cache.ts';
import { ParseError } from '../elf/source.ts';
import type { Executable } from '../process/executable.ts';
import type { ProcessHost } from '../process/host.ts';
import type { Mapped } from '../process/mapping-list.ts';
import type { MappedThing, Process } from '../process/process.ts';
import { noTls, type TlsPlace } from './carrier-layout.ts';
import { fileOf, lookInto } from './mapped-image.ts';
import { type NodeRuntime, type NoNodeRuntime, nodeRuntime } from './node-runtime.ts';
import type { TlsName } from './tls-file.ts';

/** `struct ft_node_layout`. */
export interface NodeLayout {
  readonly form: 'thread_context' | 'custom_labels';
  readonly mapType: number;
  /** The rest is for custom labels. V8's isolate, from the thread pointer. */
  readonly isolate: number;
  /** What is current, in the isolate. */
  readonly continuation: number;
  /** From the variable of the handle to that of the hash. */
  readonly hash: number;
}

export interface NodeCarrier {
  readonly layout: NodeLayout;
  /** Of the variable by which the library says where it keeps its values. */
  readonly place: TlsPlace;
}

const CACHED_BLOCKS = 16;

export class NodeSearch {
  readonly #host: ProcessHost;
  readonly #cache = new BlockCache(CACHED_BLOCKS);
  readonly #runtimes = new WeakMap<Executable, NodeRuntime | NoNodeRuntime | undefined>();
  readonly #problems = new Map<string, number>();
  /** What was counted of a process: it is asked about again whenever it maps something. */
  readonly #counted = new WeakMap<Process, string>();

  constructor(host: ProcessHost) {
    this.#host = host;
  }

  /** Why values that there are cannot be read, counted. */
  get problems(): ReadonlyMap<string, number> {
    return this.#problems;
  }

  /**
   * Looks for V8 only where a library offers something; each file once.
   * @param places of the process's thread-local variables
   */
  of(process: Process, places: ReadonlyMap<TlsName, TlsPlace>): NodeCarrier | undefined {
    const context = places.get('otel_thread_ctx_nodejs_v1') ?? noTls;
    const handle = places.get('custom_labels_als_handle') ?? noTls;
    if (context.kind === 'none' && handle.kind === 'none') return undefined;
    const runtime = this.#runtime(process);
    if (runtime === undefined) return undefined;
    const carrier = nodeCarrier(
      runtime,
      context,
      handle,
      places.get('custom_labels_als_identity_hash'),
    );
    if (typeof carrier !== 'string') return carrier;
    this.#count(process, carrier);
    return undefined;
  }

  #runtime(process: Process): NodeRuntime | undefined {
    for (const mapped of process.mappings) {
      const executable = fileOf(mapped);
      if (executable === undefined) continue;
      if (!this.#runtimes.has(executable) && !this.#look(process, executable, mapped)) continue;
      const runtime = this.#runtimes.get(executable);
      if (typeof runtime === 'object') return runtime;
      if (runtime === undefined) continue;
      this.#count(process, runtime);
      return undefined;
    }
    this.#count(process, 'v8_not_found');
    return undefined;
  }

  /** False when the file could not be opened. */
  #look(process: Process, executable: Executable, mapped: Mapped<MappedThing>): boolean {
    try {
      const looked = lookInto(this.#host, this.#cache, process, mapped, nodeRuntime);
      if (looked) this.#runtimes.set(executable, looked.found);
      return looked !== undefined;
    } catch (cause) {
      if (!(cause instanceof ParseError)) throw cause;
      this.#runtimes.set(executable, undefined);
      return true;
    }
  }

  #count(process: Process, reason: string): void {
    if (this.#counted.get(process) === reason) return;
    this.#counted.set(process, reason);
    this.#problems.set(reason, (this.#problems.get(reason) ?? 0) + 1);
  }
}

/** A reason when what there is cannot be read. */
export function nodeCarrier(
  runtime: NodeRuntime,
  context: TlsPlace,
  handle: TlsPlace,
  hash: TlsPlace | undefined,
): NodeCarrier | 'v8_isolate_unknown' | 'node_labels_incomplete' {
  const { mapType, isolate, continuation } = runtime;
  // It has the ids themselves, and says where the isolate keeps what is current.
  if (context.kind !== 'none') {
    const layout = {
      form: 'thread_context',
      mapType,
      isolate: 0,
      continuation: 0,
      hash: 0,
    } as const;
    return { layout, place: context };
  }
  const isTogether = hash?.kind === handle.kind && hash.module === handle.module;
  if (!isTogether) return 'node_labels_incomplete';
  if (isolate === 0 || continuation === 0) return 'v8_isolate_unknown';
  const distance = hash.offset - handle.offset;
  const layout = { form: 'custom_labels', mapType, isolate, continuation, hash: distance } as const;
  return { layout, place: handle };
}
