/** Maps in memory for tests of this folder, checked as the kernel checks them. */
import { FileValue, MappingValue, ProcessValue } from '../capture/record.ts';
import type { MapWriter, TableMaps } from './map-writer.ts';

const PROCESSES = 1;
const MAPPINGS = 2;
const FILES = 3;
const TABLES = 4;
const NODE_LAYOUTS = 5;

export class MemoryMaps implements MapWriter {
  readonly maps: TableMaps;
  readonly arrays: ReadonlyMap<number, DataView>;
  readonly processes = new Map<number, DataView>();
  readonly #maxProcesses: number;

  constructor(sizes: { mappings?: number; files?: number; tables?: number; processes?: number }) {
    const { mappings = 64, files = 8, tables = 4096, processes = 16 } = sizes;
    this.#maxProcesses = processes;
    this.maps = {
      processes: PROCESSES,
      mappings: MAPPINGS,
      files: FILES,
      tables: TABLES,
      nodeLayouts: NODE_LAYOUTS,
      mappingCount: mappings,
      fileCount: files,
      tableCount: tables,
    };
    this.arrays = new Map([
      [MAPPINGS, new DataView(new ArrayBuffer(mappings * MappingValue.size))],
      [FILES, new DataView(new ArrayBuffer(files * FileValue.size))],
      [TABLES, new DataView(new ArrayBuffer(tables * 8))],
    ]);
  }

  /** An element of `ft_tables`: its low and high half. */
  word(index: number): [number, number] {
    const tables = this.arrays.get(TABLES)!;
    return [tables.getUint32(index * 8, true), tables.getUint32(index * 8 + 4, true)];
  }

  write(map: number, byteOffset: number, data: Uint8Array): void {
    const array = this.arrays.get(map)!;
    if (data.length === 0) throw new Error('an empty range is no range to map');
    new Uint8Array(array.buffer, byteOffset, data.length).set(data);
  }

  put(map: number, key: number, value: Uint8Array): void {
    if (map === PROCESSES) {
      if (value.length !== ProcessValue.size) throw new Error('another size');
      if (!this.processes.has(key) && this.processes.size >= this.#maxProcesses) {
        throw Object.assign(new Error('full'), { code: 'E2BIG' });
      }
      this.processes.set(key, new DataView(value.slice().buffer));
      return;
    }
    const size = map === FILES ? FileValue.size : 8;
    if (value.length !== size) throw new Error('another size');
    this.write(map, key * size, value);
  }

  remove(map: number, key: number): void {
    if (map !== PROCESSES) throw new Error('arrays keep their elements');
    this.processes.delete(key);
  }

  entries(): Uint8Array {
    const width = 4 + ProcessValue.size;
    const bytes = new Uint8Array(this.processes.size * width);
    const view = new DataView(bytes.buffer);
    let at = 0;
    for (const [key, value] of this.processes) {
      view.setUint32(at, key, true);
      bytes.set(new Uint8Array(value.buffer, value.byteOffset, ProcessValue.size), at + 4);
      at += width;
    }
    return bytes;
  }
}
