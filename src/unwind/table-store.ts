/**
 * `ft_tables` and `ft_files` of bpf/record.h: blocks of rows, found through a
 * directory per file. Full of rows, it drops the blocks loaded longest ago; a
 * dropped region is loaded again when a sample misses it.
 */
import { FileValue, PAGES_PER_REGION } from '../capture/record.ts';
import type { MapWriter, TableMaps } from './map-writer.ts';
import type { Rows } from './rows.ts';
import { Space } from './space.ts';

const WORD = 8;
/** Directories are never dropped: files that claim gigabytes of text must leave room for rows. */
const MAX_DIRECTORY_SHARE = 1 / 4;

interface Block {
  readonly start: number;
  readonly length: number;
  /** Element of `ft_tables` that points here. */
  readonly directoryAt: number;
  readonly onEvict: () => void;
}

/** The place of one file: its index in `ft_files` and its two directories. */
export interface FilePlace {
  readonly index: number;
  readonly callDirectory: number;
  readonly callRegions: number;
  readonly fullDirectory: number;
  readonly fullRegions: number;
}

export class TableStore {
  readonly #maps: TableMaps;
  readonly #writer: MapWriter;
  readonly #space: Space;
  readonly #files: Space;
  /** Blocks by directory element, oldest first. */
  readonly #blocks = new Map<number, Block>();
  /** Freed but perhaps still read by a running program; reused from the next settle() on. */
  #limbo: { start: number; length: number }[] = [];
  #limboFiles: number[] = [];
  #directoryWords = 0;
  #evicted = 0;

  constructor(maps: TableMaps, writer: MapWriter) {
    this.#maps = maps;
    this.#writer = writer;
    // Element 0 stays unused: 0 in a directory means "not loaded".
    this.#space = new Space(1, maps.tableCount);
    this.#files = new Space(0, maps.fileCount);
  }

  /** Bytes of rows, indices and directories in use. */
  get usedBytes(): number {
    return this.#space.used * WORD;
  }

  /** Blocks dropped for want of room so far. */
  get evicted(): number {
    return this.#evicted;
  }

  /** Makes room for a file; undefined when there is none even after dropping every block. */
  addFile(callRegions: number, fullRegions: number): FilePlace | undefined {
    const words = callRegions + fullRegions;
    if (this.#directoryWords + words > this.#maps.tableCount * MAX_DIRECTORY_SHARE) {
      return undefined;
    }
    const index = this.#files.take(1);
    if (index === undefined) return undefined;
    const start = this.#take(words);
    if (start === undefined) {
      this.#files.release(index, 1);
      return undefined;
    }
    this.#directoryWords += words;
    const place = {
      index,
      callDirectory: start,
      callRegions,
      fullDirectory: start + callRegions,
      fullRegions,
    };
    if (words > 0)
      this.#writer.write(this.#maps.tables, start * WORD, new Uint8Array(words * WORD));
    const value = new DataView(new ArrayBuffer(FileValue.size));
    value.setUint32(FileValue.callDirectory, place.callDirectory, true);
    value.setUint32(FileValue.callRegions, callRegions, true);
    value.setUint32(FileValue.fullDirectory, place.fullDirectory, true);
    value.setUint32(FileValue.fullRegions, fullRegions, true);
    this.#writer.put(this.#maps.files, index, new Uint8Array(value.buffer));
    return place;
  }

  removeFile(place: FilePlace): void {
    const words = place.callRegions + place.fullRegions;
    for (let i = 0; i < words; i++) this.#drop(place.callDirectory + i);
    // Whoever still names it finds a file without tables.
    this.#writer.put(this.#maps.files, place.index, new Uint8Array(FileValue.size));
    this.#limbo.push({ start: place.callDirectory, length: words });
    this.#limboFiles.push(place.index);
    this.#directoryWords -= words;
  }

  /**
   * Publishes the rows of one region. `regionStart` and `pageShift` give the
   * pages of its index. False when there is no room for it at all.
   */
  load(
    directoryAt: number,
    regionStart: number,
    pageShift: number,
    rows: Rows,
    onEvict: () => void,
  ): boolean {
    const count = rows.offsets.length;
    const length = PAGES_PER_REGION + count;
    const start = this.#take(length);
    if (start === undefined) return false;
    const words = new Uint32Array(length * 2);
    let first = 0;
    for (let page = 0; page < PAGES_PER_REGION; page++) {
      const from = regionStart + page * 2 ** pageShift;
      const to = from + 2 ** pageShift;
      while (first + 1 < count && rows.offsets[first + 1]! <= from) first++;
      let end = first + 1;
      while (end < count && rows.offsets[end]! < to) end++;
      words[page * 2] = start + PAGES_PER_REGION + first;
      words[page * 2 + 1] = end - first;
    }
    for (let i = 0; i < count; i++) {
      words[(PAGES_PER_REGION + i) * 2] = rows.offsets[i]!;
      words[(PAGES_PER_REGION + i) * 2 + 1] = rows.rules[i]!;
    }
    this.#writer.write(this.#maps.tables, start * WORD, new Uint8Array(words.buffer));
    // The directory last: a program that sees the block sees its rows.
    this.#point(directoryAt, start);
    this.#blocks.set(directoryAt, { start, length, directoryAt, onEvict });
    return true;
  }

  /** Called between batches: by now no program reads what was freed before the last one. */
  settle(): void {
    for (const { start, length } of this.#limbo) this.#space.release(start, length);
    this.#limbo = [];
    for (const index of this.#limboFiles) this.#files.release(index, 1);
    this.#limboFiles = [];
  }

  #take(length: number): number | undefined {
    for (;;) {
      const start = this.#space.take(length);
      if (start !== undefined) return start;
      let freed = 0;
      for (const block of this.#blocks.values()) {
        this.#drop(block.directoryAt);
        this.#evicted++;
        freed += block.length;
        // More than asked: the pieces are not neighbours.
        if (freed > length * 4) break;
      }
      if (this.#limbo.length === 0) return undefined;
      // Without waiting for settle(): a program that still reads a dropped
      // block for a microsecond may see another file's rule, which its own
      // checks of the stack turn into a marked stop, not a crash.
      this.settle();
    }
  }

  #drop(directoryAt: number): void {
    const block = this.#blocks.get(directoryAt);
    if (!block) return;
    this.#blocks.delete(directoryAt);
    this.#point(directoryAt, 0);
    this.#limbo.push({ start: block.start, length: block.length });
    block.onEvict();
  }

  #point(directoryAt: number, block: number): void {
    const word = new Uint32Array([block, 0]);
    this.#writer.put(this.#maps.tables, directoryAt, new Uint8Array(word.buffer));
  }
}
