/** The BPF maps that user space fills, as this folder sees them. */
import type { Addon } from '../capture/addon.ts';

/** Descriptors and sizes (in elements) of the sampler's maps. */
export interface TableMaps {
  readonly processes: number;
  readonly mappings: number;
  readonly files: number;
  readonly tables: number;
  readonly nodeLayouts: number;
  readonly mappingCount: number;
  readonly fileCount: number;
  readonly tableCount: number;
}

/** Writes to maps; replay and tests keep them in memory instead. */
export interface MapWriter {
  /** Any number of bytes into an array map, by mapping its pages for the copy. */
  write(map: number, byteOffset: number, data: Uint8Array): void;
  /**
   * One element: cheaper than write() for single ones.
   * @throws Error with `code` E2BIG when a hash map is full.
   */
  put(map: number, key: number, value: Uint8Array): void;
  remove(map: number, key: number): void;
  /** Keys (u32) and values of a hash map in turns, as they are now, in no order. */
  entries(map: number): Uint8Array;
}

export class KernelMapWriter implements MapWriter {
  readonly #addon: Addon;
  readonly #key = new Uint32Array(1);
  readonly #keyBytes = new Uint8Array(this.#key.buffer);

  constructor(addon: Addon) {
    this.#addon = addon;
  }

  write(map: number, byteOffset: number, data: Uint8Array): void {
    this.#addon.arrayWrite(map, byteOffset, data);
  }

  put(map: number, key: number, value: Uint8Array): void {
    this.#key[0] = key;
    this.#addon.mapUpdate(map, this.#keyBytes, value);
  }

  remove(map: number, key: number): void {
    this.#key[0] = key;
    this.#addon.mapDelete(map, this.#keyBytes);
  }

  entries(map: number): Uint8Array {
    return this.#addon.mapEntries(map);
  }
}

/** No kernel behind: what replay and tests use. */
export const nowhere: MapWriter = {
  write() {},
  put() {},
  remove() {},
  entries: () => new Uint8Array(),
};

/** Sizes without a kernel behind: as roomy as the kernel's own. */
export const nowhereMaps: TableMaps = {
  processes: -1,
  mappings: -1,
  files: -1,
  tables: -1,
  nodeLayouts: -1,
  mappingCount: 1 << 20,
  fileCount: 1 << 16,
  tableCount: 1 << 24,
};
