/**
 * The label sets of many profiles. Nearly every set has ids of its own, and an hour
 * may have hundreds of thousands of them: those are kept as numbers, about 52 bytes
 * for a set, where objects and texts would take ten times as much.
 */
import { type Label, SPAN_ID, TRACE_ID } from '../profile/model.ts';
import { isRequestLabel, requestOf } from '../profile/request-id.ts';
import { WordTable } from '../profile/word-table.ts';

/** Of a set: trace id, span id (zeros = none), index of its other labels. */
export const LABEL_WORDS = 7;
export const TRACE_WORDS = 4;
export const SPAN_WORDS = 2;
const OTHERS = TRACE_WORDS + SPAN_WORDS;

// Estimates of V8's objects, as in interned-tables.ts.
const ENTRY_BYTES = 160;
const LABEL_BYTES = 40;

export class LabelTable {
  readonly #sets = new WordTable();
  readonly #others: (readonly Label[])[] = [];
  readonly #otherIds = new Map<string, number>();
  readonly #key = new Uint32Array(LABEL_WORDS);
  #otherBytes = 0;

  constructor() {
    // Set 0 is no labels.
    this.id([]);
  }

  get length(): number {
    return this.#sets.length;
  }

  get bytes(): number {
    return this.#sets.bytes + this.#otherBytes;
  }

  /** `LABEL_WORDS` for each set; valid until the next `id`. */
  get words(): Uint32Array {
    return this.#sets.words;
  }

  id(labels: readonly Label[]): number {
    const { traceId, spanId } = requestOf(labels);
    writeHex(this.#key, 0, TRACE_WORDS, traceId);
    writeHex(this.#key, TRACE_WORDS, SPAN_WORDS, spanId);
    this.#key[OTHERS] = this.#otherId(labels.filter((label) => !isRequestLabel(label)));
    return this.#sets.intern(this.#key, 0, LABEL_WORDS, 0);
  }

  /** The labels of a set: its ids first. */
  labels(set: number): readonly Label[] {
    const at = set * LABEL_WORDS;
    const { words } = this.#sets;
    const traceId = hexOf(words, at, TRACE_WORDS);
    const spanId = hexOf(words, at + TRACE_WORDS, SPAN_WORDS);
    return [
      ...(traceId === '' ? [] : [{ key: TRACE_ID, value: traceId }]),
      ...(spanId === '' ? [] : [{ key: SPAN_ID, value: spanId }]),
      ...this.#others[words[at + OTHERS]!]!,
    ];
  }

  #otherId(labels: readonly Label[]): number {
    const key = JSON.stringify(labels.map((label) => [label.key, label.value]));
    const known = this.#otherIds.get(key);
    if (known !== undefined) return known;
    const id = this.#others.push(labels) - 1;
    this.#otherIds.set(key, id);
    this.#otherBytes += ENTRY_BYTES + labels.length * LABEL_BYTES + key.length * 2;
    return id;
  }
}

/** Zeros for ''. @param hex of 8 digits for each word */
export function writeHex(words: Uint32Array, at: number, length: number, hex: string): void {
  for (let word = 0; word < length; word++) {
    words[at + word] = hex === '' ? 0 : Number.parseInt(hex.slice(8 * word, 8 * word + 8), 16);
  }
}

/** '' for zeros. */
export function hexOf(words: Uint32Array, at: number, length: number): string {
  let text = '';
  let any = 0;
  for (let word = at; word < at + length; word++) {
    any |= words[word]!;
    text += words[word]!.toString(16).padStart(8, '0');
  }
  return any === 0 ? '' : text;
}
