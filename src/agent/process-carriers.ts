/** Which carriers of labels a process has, found once per file and process. */
import { type CarrierLayout, noCarriers, noTls } from '../context/carrier-layout.ts';
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

export class ProcessCarriers {
  readonly #tls: TlsSearch;
  readonly #nodes: NodeSearch;
  readonly #nodeLayouts: NodeLayouts;

  constructor(host: ProcessHost, maps: TableMaps, writer: MapWriter) {
    this.#tls = new TlsSearch(host);
    this.#nodes = new NodeSearch(host);
    this.#nodeLayouts = new NodeLayouts(maps.nodeLayouts, writer);
  }

  /** @param binaries those of its files that are open */
  of(process: Process, _binaries: readonly PlacedBinary[]): CarrierLayout {
    this.#tls.note(process);
    this.#tls.step(200);
    const places = this.#tls.of(process);
    if (places.size === 0) return noCarriers;
    const node = this.#nodes.of(process, places);
    return {
      ...noCarriers,
      nodeContext: node?.place ?? noTls,
      node: node ? this.#nodeLayouts.number(node.layout) : 0,
    };
  }
}
