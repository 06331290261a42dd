/** One symbol of a linked file by its name, as the dynamic linker finds it: by the GNU hash table, without a look at the others. */
import { DynamicSection, DynamicTag } from './dynamic-section.ts';
import { readUnsigned64, viewOf } from './headers.ts';
import { type ElfImage, SegmentType } from './image.ts';

export interface DynamicSymbol {
  /** File address; of a thread-local variable its offset in the block. */
  readonly value: number;
  readonly size: number;
  readonly type: number;
}

export const DynamicSymbolType = { Object: 1, Function: 2, Tls: 6 } as const;

const SYMBOL_SIZE = 24;
/** Buckets have one or two symbols; only a file made for it has more than this. */
const MAX_CHAIN = 4096;

export class GnuSymbols {
  readonly #image: ElfImage;
  readonly #strings: number;
  readonly #stringsSize: number;
  readonly #symbols: number;
  readonly #buckets: number;
  readonly #bucketCount: number;
  readonly #chains: number;
  /** Number of the first symbol that is in the table. */
  readonly #first: number;

  private constructor(image: ElfImage, dynamic: DynamicSection, hash: DataView) {
    this.#image = image;
    this.#strings = dynamic.value(DynamicTag.Strings) ?? 0;
    this.#stringsSize = dynamic.value(DynamicTag.StringsSize) ?? 0;
    this.#symbols = dynamic.value(DynamicTag.Symbols) ?? 0;
    this.#bucketCount = hash.getUint32(0, true);
    this.#first = hash.getUint32(4, true);
    this.#buckets = (dynamic.value(DynamicTag.GnuHash) ?? 0) + 16 + 8 * hash.getUint32(8, true);
    this.#chains = this.#buckets + 4 * this.#bucketCount;
  }

  /**
   * Undefined when the file has no such table.
   * @throws ParseError `out_of_bounds`.
   */
  static of(image: ElfImage): GnuSymbols | undefined {
    const dynamic = DynamicSection.of(image);
    const hash = dynamic && bytesAt(image, dynamic.value(DynamicTag.GnuHash) ?? 0, 16);
    if (hash === undefined || viewOf(hash).getUint32(0, true) === 0) return undefined;
    return new GnuSymbols(image, dynamic!, viewOf(hash.slice()));
  }

  /** A symbol that the file defines. @throws ParseError `out_of_bounds`. */
  find(name: string): DynamicSymbol | undefined {
    const hash = hashOf(name);
    let number = this.#word(this.#buckets + 4 * (hash % this.#bucketCount));
    if (number === undefined || number < this.#first) return undefined;
    for (let i = 0; i < MAX_CHAIN; i++, number++) {
      const entry = this.#word(this.#chains + 4 * (number - this.#first));
      if (entry === undefined) return undefined;
      // The lowest bit marks the last of a bucket.
      if ((entry | 1) >>> 0 === (hash | 1) >>> 0) {
        const symbol = this.#symbol(number, name);
        if (symbol !== undefined) return symbol;
      }
      if ((entry & 1) !== 0) return undefined;
    }
    return undefined;
  }

  #symbol(number: number, name: string): DynamicSymbol | undefined {
    const row = bytesAt(this.#image, this.#symbols + SYMBOL_SIZE * number, SYMBOL_SIZE);
    if (row === undefined) return undefined;
    const view = viewOf(row);
    const isDefined = view.getUint16(6, true) !== 0;
    const symbol = {
      value: readUnsigned64(view, 8),
      size: readUnsigned64(view, 16),
      type: view.getUint8(4) & 15,
    };
    const at = view.getUint32(0, true);
    if (!isDefined || at + name.length >= this.#stringsSize) return undefined;
    const text = bytesAt(this.#image, this.#strings + at, name.length + 1);
    return text !== undefined && isText(text, name) ? symbol : undefined;
  }

  #word(address: number): number | undefined {
    const bytes = bytesAt(this.#image, address, 4);
    return bytes && viewOf(bytes).getUint32(0, true);
  }
}

/**
 * Bytes of the file at a loaded address; undefined when they are not in it.
 * Valid until the next call. @throws ParseError `out_of_bounds`.
 */
export function bytesAt(image: ElfImage, address: number, length: number): Uint8Array | undefined {
  if (!(address > 0 && Number.isSafeInteger(address))) return undefined;
  for (const segment of image.segments) {
    const distance = address - segment.address;
    const isHere =
      segment.type === SegmentType.Load && distance >= 0 && distance + length <= segment.fileSize;
    if (isHere) return image.view(segment).read(distance, length);
  }
  return undefined;
}

/** Bernstein's hash, modulo 2^32. */
function hashOf(name: string): number {
  let hash = 5381;
  for (let i = 0; i < name.length; i++) hash = (hash * 33 + name.charCodeAt(i)) >>> 0;
  return hash;
}

function isText(bytes: Uint8Array, text: string): boolean {
  for (let i = 0; i < text.length; i++) if (bytes[i] !== text.charCodeAt(i)) return false;
  return bytes[text.length] === 0;
}
