/**
 * `ft_tables` and `ft_files` of bpf/record.h: blocks of rows, found through a
 * directory per file. Full of rows, it drops some as table-eviction.ts says; a
 * dropped region is loaded again when a sample misses it.
 */
import { FileValue, PAGES_PER_REGION } from '../capture/record.ts';
import type { MapWriter, TableMaps } from './map-writer.ts';
import type { Rows } from './rows.ts';
import { Space } from './space.ts';
import { evictionOrder, type FileUse, type HeldBlock, MAX_SHARE } from './table-eviction.ts';

const WORD = 8;
/** Directories are never dropped: files that claim gigabytes of text must leave room for rows. */
const MAX_DIRECTORY_SHARE = 1 / 4;
/** Of the room, what is made at once: to find out what goes first takes a look at all. */
const EVICTED_SHARE = 1 / 32;

interface Block extends HeldBlock {
  readonly start: number;
  isFresh: boolean;
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
  readonly #uses: () => readonly FileUse[];
  readonly #space: Space;
  readonly #files: Space;
  /** Blocks by directory element, oldest first. */
  readonly #blocks = new Map<number, Block>();
  /** Those loaded since the last settle(). */
  #fresh: Block[] = [];
  /** Freed but perhaps still read by a running program; reused from the next settle() on. */
  #limbo: { start: number; length: number }[] = [];
  #limboFiles: number[] = [];
  #directoryWords = 0;
  readonly #problems = new Map<string, number>();

  /** @param uses who uses which files, when there is no room for all */
  constructor(maps: TableMaps, writer: MapWriter, uses: () => readonly FileUse[] = () => []) {
    this.#maps = maps;
    this.#writer = writer;
    this.#uses = uses;
    // Element 0 stays unused: 0 in a directory means "not loaded".
    this.#space = new Space(1, maps.tableCount);
    this.#files = new Space(0, maps.fileCount);
  }

  /** Bytes of rows, indices and directories in use. */
  get usedBytes(): number {
    return this.#space.used * WORD;
  }

  /** Blocks that were dropped, blocks and files that were refused for want of room, by reason. */
  get problems(): ReadonlyMap<string, number> {
    return this.#problems;
  }

  /** Makes room for a file; undefined when there is none. */
  addFile(callRegions: number, fullRegions: number): FilePlace | undefined {
    const words = callRegions + fullRegions;
    const isTooMuch = this.#directoryWords + words > this.#maps.tableCount * MAX_DIRECTORY_SHARE;
    const index = isTooMuch ? undefined : this.#files.take(1);
    const start = index === undefined ? undefined : this.#take(words);
    if (index === undefined || start === undefined) {
      if (index !== undefined) this.#files.release(index, 1);
      this.#count('no_room_for_file');
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
    file: FilePlace,
    directoryAt: number,
    regionStart: number,
    pageShift: number,
    rows: Rows,
    onEvict: () => void,
  ): boolean {
    const count = rows.offsets.length;
    const length = PAGES_PER_REGION + count;
    const start = this.#take(length);
    if (start === undefined) {
      this.#count('no_room_for_tables');
      return false;
    }
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
    const block = { file: file.index, start, length, directoryAt, onEvict, isFresh: true };
    this.#blocks.set(directoryAt, block);
    this.#fresh.push(block);
    return true;
  }

  /** Called between batches: by now no program reads what was freed before the last one. */
  settle(): void {
    this.#release();
    for (const index of this.#limboFiles) this.#files.release(index, 1);
    this.#limboFiles = [];
    for (const block of this.#fresh) block.isFresh = false;
    this.#fresh = [];
  }

  #take(length: number): number | undefined {
    const free = this.#space.take(length);
    // What can never be had without taking from others must not cost them anything.
    if (free !== undefined || length > this.#maps.tableCount * MAX_SHARE) return free;
    const wanted = Math.max(length, this.#maps.tableCount * EVICTED_SHARE);
    let freed = 0;
    for (const block of evictionOrder(this.#blocks.values(), this.#uses(), this.#maps.tableCount)) {
      this.#drop(block.directoryAt);
      this.#count('unwind_tables_evicted');
      freed += block.length;
      if (freed < wanted) continue;
      const start = this.#takeFreed(length);
      // More than asked: the pieces are not neighbours.
      if (start !== undefined) return start;
    }
    return this.#takeFreed(length);
  }

  /**
   * Without waiting for settle(): a program that still reads a dropped block for a
   * microsecond may see another file's rule, which its own checks of the stack turn
   * into a marked stop, not a crash.
   */
  #takeFreed(length: number): number | undefined {
    this.#release();
    return this.#space.take(length);
  }

  #release(): void {
    for (const { start, length } of this.#limbo) this.#space.release(start, length);
    this.#limbo = [];
  }

  #drop(directoryAt: number): void {
    const block = this.#blocks.get(directoryAt);
    if (!block) return;
    this.#blocks.delete(directoryAt);
    this.#point(directoryAt, 0);
    this.#limbo.push({ start: block.start, length: block.length });
    block.onEvict();
  }

  #count(reason: string): void {
    this.#problems.set(reason, (this.#problems.get(reason) ?? 0) + 1);
  }

  #point(directoryAt: number, block: number): void {
    const word = new Uint32Array([block, 0]);
    this.#writer.put(this.#maps.tables, directoryAt, new Uint8Array(word.buffer));
  }
}
