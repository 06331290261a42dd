/** The loaded image of a Go binary as far as the file tells: bytes, pointers, relocations. */
import { readUnsigned64, viewOf } from './headers.ts';
import { type ElfImage, type Section, type Segment, SegmentType } from './image.ts';
import { SliceSource } from './slice-source.ts';
import type { ByteSource } from './source.ts';

const CHUNK = 64 * 1024;
/** Data searched by content, per binary: the largest Go binaries known have about 0.5 GB. */
const MAX_SEARCH = 1 << 30;
const RELA_ENTRY = 24;
const RELATIVE = 8;
const TPOFF64 = 18;
const DT_RELA = 7;
const DT_RELASZ = 8;
const MAX_DYNAMIC = 4096;

export interface Relocation {
  readonly address: number;
  readonly type: number;
  readonly symbol: number;
  readonly addend: number;
}

export class GoMemory {
  readonly image: ElfImage;
  readonly loads: readonly Segment[];
  #rela: ByteSource | undefined | null = null;

  constructor(image: ElfImage) {
    this.image = image;
    this.loads = image.segments.filter((s) => s.type === SegmentType.Load && s.fileSize > 0);
  }

  /** The file's bytes from `address` to the end of its segment (or `size`). */
  from(address: number, size?: number): ByteSource | undefined {
    for (const segment of this.loads) {
      const distance = address - segment.address;
      if (distance < 0 || distance >= segment.fileSize) continue;
      const whole = this.image.view(segment);
      const length = Math.min(size ?? Number.POSITIVE_INFINITY, whole.size - distance);
      return length > 0 ? new SliceSource(whole, distance, length) : undefined;
    }
    return undefined;
  }

  /** Exactly `size` bytes at an address, or undefined when the file has fewer. */
  bytes(address: number, size: number): Uint8Array | undefined {
    const source = this.from(address, size);
    return source?.size === size ? source.read(0, size) : undefined;
  }

  /**
   * The pointer that a loaded program has at `address`, before it is moved.
   * GNU ld leaves a zero in the file and the value in a relocation; Go's own
   * linker writes both.
   */
  pointer(address: number): number | undefined {
    const bytes = this.bytes(address, 8);
    if (bytes === undefined) return undefined;
    const value = readUnsigned64(viewOf(bytes), 0);
    if (value !== 0) return value;
    const relocation = this.relocationAt(address);
    return relocation?.type === RELATIVE ? relocation.addend : value;
  }

  relocationAt(address: number): Relocation | undefined {
    return this.#findRelocation(address, 0, () => true);
  }

  /** The relocation that puts a thread-pointer offset into the word at `address`. */
  threadRelocation(address: number): Relocation | undefined {
    return this.#findRelocation(address, 0, (found) => found.type === TPOFF64);
  }

  /**
   * Places (multiples of 8) that hold the pointer `value` once loaded; at most
   * `limit`. Searches all that can be written to, or only the `section`.
   */
  pointersTo(value: number, section?: Section, limit = 16): number[] {
    const needle = word(value);
    const found: number[] = [];
    const parts = section ? [section] : this.loads.filter(({ flags }) => (flags & 2) !== 0);
    for (const part of parts) {
      this.search(part, needle, 8, (address) => {
        found.push(address);
        return found.length < limit;
      });
      if (found.length >= limit) return found;
    }
    if (section) return found;
    if (found.length === 0) {
      this.#findRelocation(value, 16, (relocation) => {
        if (relocation.type === RELATIVE) found.push(relocation.address);
        return found.length >= limit;
      });
    }
    return found;
  }

  /** Occurrences of `needle` at multiples of `align`, until `visit` returns false. */
  search(
    part: Segment | Section,
    needle: Uint8Array,
    align: number,
    visit: (address: number) => boolean,
  ): void {
    searchSource(this.image.view(part), needle, (offset) => {
      const address = part.address + offset;
      return address % align !== 0 || visit(address);
    });
  }

  /** The first relocation whose 8 bytes at `field` are `value` and that `accept` takes. */
  #findRelocation(
    value: number,
    field: number,
    accept: (relocation: Relocation) => boolean,
  ): Relocation | undefined {
    const rela = this.#relocations();
    if (rela === undefined) return undefined;
    let result: Relocation | undefined;
    searchSource(rela, word(value), (offset) => {
      const start = offset - field;
      if (start < 0 || start % RELA_ENTRY !== 0 || start + RELA_ENTRY > rela.size) return true;
      const view = viewOf(rela.read(start, RELA_ENTRY));
      const relocation = {
        address: readUnsigned64(view, 0),
        type: view.getUint32(8, true),
        symbol: view.getUint32(12, true),
        addend: Number(view.getBigInt64(16, true)),
      };
      if (!accept(relocation)) return true;
      result = relocation;
      return false;
    });
    return result;
  }

  /** Through PT_DYNAMIC, which a binary without section headers has too. */
  #relocations(): ByteSource | undefined {
    if (this.#rela !== null) return this.#rela;
    this.#rela = undefined;
    const dynamic = this.image.segments.find((s) => s.type === SegmentType.Dynamic);
    if (dynamic === undefined) return undefined;
    const source = this.image.view(dynamic);
    const view = viewOf(source.read(0, Math.min(source.size, MAX_DYNAMIC * 16)));
    let address = 0;
    let size = 0;
    for (let at = 0; at + 16 <= view.byteLength; at += 16) {
      const tag = readUnsigned64(view, at);
      if (tag === 0) break;
      if (tag === DT_RELA) address = readUnsigned64(view, at + 8);
      if (tag === DT_RELASZ) size = readUnsigned64(view, at + 8);
    }
    this.#rela = address !== 0 && size !== 0 ? this.from(address, size) : undefined;
    return this.#rela;
  }
}

function word(value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  viewOf(bytes).setBigUint64(0, BigInt.asUintN(64, BigInt(Math.trunc(value))), true);
  return bytes;
}

/** Calls `visit` with each offset of `needle`, in order, until it returns false. */
function searchSource(
  source: ByteSource,
  needle: Uint8Array,
  visit: (offset: number) => boolean,
): void {
  const end = Math.min(source.size, MAX_SEARCH);
  for (let start = 0; start + needle.length <= end; start += CHUNK) {
    const length = Math.min(CHUNK + needle.length - 1, end - start);
    // visit() may read from the same source, which invalidates what read() gave.
    const chunk = Buffer.from(source.read(start, length));
    for (let at = chunk.indexOf(needle); at >= 0; at = chunk.indexOf(needle, at + 1)) {
      if (!visit(start + at)) return;
    }
  }
}
