/** Which carriers of labels a process has, found once per file and process. */
import { type CarrierLayout, noTls } from '../context/carrier-layout.ts';
import { NodeSearch } from '../context/node-search.ts';
import { TlsSearch } from '../context/tls-search.ts';
import type { ProcessHost } from '../process/host.ts';
import type { Process } from '../process/process.ts';
import type { MapWriter, TableMaps } from '../unwind/map-writer.ts';
import type { Binary } from './binary.ts';
import { NodeLayouts } from './node-layouts.ts';

/** A binary as a process has it mapped. */
export interface PlacedBinary {
  readonly binary: Binary;
  /** Process address - file address. */
  readonly slide: number;
}

/** A first look at a process that is made known to the kernel, milliseconds. */
const AT_ONCE_MS = 2;
/** A later one, between two batches. */
const STEP_MS = 5;

export class ProcessCarriers {
  readonly #tls: TlsSearch;
  readonly #nodes: NodeSearch;
  readonly #nodeLayouts: NodeLayouts;

  constructor(host: ProcessHost, maps: TableMaps, writer: MapWriter, clock?: () => number) {
    this.#tls = new TlsSearch(host, clock);
    this.#nodes = new NodeSearch(host);
    this.#nodeLayouts = new NodeLayouts(maps.nodeLayouts, writer);
  }

  get problems(): ReadonlyMap<string, number> {
    return new Map([...this.#tls.problems, ...this.#nodes.problems, ...this.#nodeLayouts.problems]);
  }

  /** @param binaries those of its files that are open */
  of(process: Process, binaries: readonly PlacedBinary[]): CarrierLayout {
    this.#tls.look(process, AT_ONCE_MS);
    const places = this.#tls.of(process);
    const node = this.#nodes.of(process, places);
    return {
      goLabels: goLabels(binaries),
      threadContext: places.get('otel_thread_ctx_v1') ?? noTls,
      customLabels: places.get('custom_labels_current_set') ?? noTls,
      nodeContext: node?.place ?? noTls,
      node: node ? this.#nodeLayouts.number(node.layout) : 0,
    };
  }

  /** Goes on looking. @returns processes that have other carriers than before */
  search(): Process[] {
    return this.#tls.step(STEP_MS);
  }

  /** Milliseconds until search() has something to do; undefined when there is nothing. */
  get due(): number | undefined {
    return this.#tls.due;
  }
}

/** With two runtimes in one process nobody knows whose a thread is. */
function goLabels(binaries: readonly PlacedBinary[]): CarrierLayout['goLabels'] {
  const [go, another] = binaries.filter(({ binary }) => binary.isGo);
  const labels = another ? undefined : go?.binary.goThread?.labels;
  return typeof labels === 'object' ? labels : undefined;
}
