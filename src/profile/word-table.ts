/**
 * Interning of sequences of 32-bit words: equal sequences get equal ids, ids
 * count up from 0. Everything lives in typed arrays, so looking up a sequence
 * that is already there allocates nothing.
 *
 * Open addressing with linear probing, at most half full. The hash only picks
 * the candidates; ids are equal only if every word is. A process can craft
 * stacks whose hashes are the same, each of which would be compared to all the
 * others: after a few of one hash, further ones are not looked for again, and
 * the same sequence has several ids.
 */

/** Bytes that several tables share. A growth that does not fit is refused. */
export class ByteBudget {
  readonly limit: number;
  #used = 0;

  constructor(limit: number) {
    this.limit = limit;
  }

  get used(): number {
    return this.#used;
  }

  /** Takes `bytes`; false, and nothing taken, when that is over the limit. */
  take(bytes: number): boolean {
    if (this.#used + bytes > this.limit) return false;
    this.#used += bytes;
    return true;
  }

  give(bytes: number): void {
    this.#used -= bytes;
  }
}

const initialEntries = 256;
const initialWords = 2048;
/** Slot: hash, id + 1 (0 = empty). */
const slotWords = 2;
const slotsPerEntry = 2;
/** Different sequences of one hash: among a million by chance there are three once in 10^8 tables. */
const mostOfOneHash = 8;
/** Not there, and not to be looked for again. */
const UNKEPT = -2;

export class WordTable {
  readonly #budget: ByteBudget;
  /** Signed, as hashes are: a number above 2^31 may cost V8 an allocation. */
  #slots: Int32Array;
  #slotMask: number;
  /** Entry i holds words #starts[i] up to #starts[i + 1]. */
  #starts: Uint32Array;
  /** Caller's word that is part of the identity, such as how the sequence divides. */
  #tags: Uint32Array;
  #words: Uint32Array;
  #length = 0;

  /** @throws Error when not even an empty table fits the budget. */
  constructor(budget: ByteBudget = new ByteBudget(Number.POSITIVE_INFINITY)) {
    this.#budget = budget;
    this.#slots = new Int32Array(initialEntries * slotsPerEntry * slotWords);
    this.#slotMask = initialEntries * slotsPerEntry - 1;
    this.#starts = new Uint32Array(initialEntries + 1);
    this.#tags = new Uint32Array(initialEntries);
    this.#words = new Uint32Array(initialWords);
    if (!budget.take(this.bytes)) {
      throw new Error(`a table needs ${this.bytes} bytes, the limit is ${budget.limit}`);
    }
  }

  /** Number of different sequences. */
  get length(): number {
    return this.#length;
  }

  get bytes(): number {
    return (
      this.#slots.byteLength +
      this.#starts.byteLength +
      this.#tags.byteLength +
      this.#words.byteLength
    );
  }

  /** Words of all entries, one after the other; valid until the next `intern` or `clear`. */
  get words(): Uint32Array {
    return this.#words.subarray(0, this.#starts[this.#length]!);
  }

  /** First word of each entry and, last, the end of the last one. */
  get starts(): Uint32Array {
    return this.#starts.subarray(0, this.#length + 1);
  }

  get tags(): Uint32Array {
    return this.#tags.subarray(0, this.#length);
  }

  /**
   * Id of the `length` words of `source` from `first`; -1 when it is new and
   * the budget is used up. `first + length` must not exceed `source.length`.
   */
  intern(source: Uint32Array, first: number, length: number, tag: number): number {
    const hash = hashWords(source, first, length, tag);
    const known = this.#find(source, first, length, tag, hash);
    if (known >= 0) return known;
    const id = this.#append(source, first, length, tag);
    if (id >= 0 && known !== UNKEPT) insert(this.#slots, this.#slotMask, hash, id + 1);
    return id;
  }

  /** As `intern`, but -1 for what is not there. */
  find(source: Uint32Array, first: number, length: number, tag: number): number {
    return Math.max(
      this.#find(source, first, length, tag, hashWords(source, first, length, tag)),
      -1,
    );
  }

  /** Forgets all entries; keeps memory for about as many as there were. */
  clear(): void {
    const wanted = Math.max(initialEntries, powerOfTwo(this.#length));
    const wantedWords = Math.max(initialWords, powerOfTwo(this.#starts[this.#length]!));
    if (wanted * 4 <= this.#tags.length || wantedWords * 4 <= this.#words.length) {
      this.#budget.give(this.bytes);
      this.#slots = new Int32Array(wanted * slotsPerEntry * slotWords);
      this.#slotMask = wanted * slotsPerEntry - 1;
      this.#starts = new Uint32Array(wanted + 1);
      this.#tags = new Uint32Array(wanted);
      this.#words = new Uint32Array(wantedWords);
      this.#budget.take(this.bytes);
    } else {
      this.#slots.fill(0);
    }
    this.#length = 0;
  }

  #find(source: Uint32Array, first: number, length: number, tag: number, hash: number): number {
    const slots = this.#slots;
    const mask = this.#slotMask;
    let slot = hash & mask;
    for (let others = 0; ; ) {
      const entry = slots[slot * slotWords + 1]!;
      if (entry === 0) return -1;
      if (slots[slot * slotWords] === hash) {
        const id = entry - 1;
        const start = this.#starts[id]!;
        if (this.#starts[id + 1]! - start === length && this.#tags[id] === tag) {
          if (isSame(this.#words, start, source, first, length)) return id;
        }
        if (++others === mostOfOneHash) return UNKEPT;
      }
      slot = (slot + 1) & mask;
    }
  }

  #append(source: Uint32Array, first: number, length: number, tag: number): number {
    const id = this.#length;
    const start = this.#starts[id]!;
    if (id === this.#tags.length && !this.#growEntries()) return -1;
    if (start + length > this.#words.length && !this.#growWords(start + length)) return -1;
    const words = this.#words;
    for (let i = 0; i < length; i++) words[start + i] = source[first + i]!;
    this.#starts[id + 1] = start + length;
    this.#tags[id] = tag;
    this.#length = id + 1;
    return id;
  }

  #growEntries(): boolean {
    const entries = this.#tags.length * 2;
    const slots = entries * slotsPerEntry;
    // Both the old and the new arrays exist while words are copied.
    const needed = (slots * slotWords + entries + 1 + entries) * 4;
    if (!this.#budget.take(needed)) return false;
    const old = this.#slots;
    const released = old.byteLength + this.#starts.byteLength + this.#tags.byteLength;
    this.#slots = new Int32Array(slots * slotWords);
    this.#slotMask = slots - 1;
    for (let at = 0; at < old.length; at += slotWords) {
      if (old[at + 1] !== 0) insert(this.#slots, this.#slotMask, old[at]!, old[at + 1]!);
    }
    this.#starts = grown(this.#starts, entries + 1);
    this.#tags = grown(this.#tags, entries);
    this.#budget.give(released);
    return true;
  }

  #growWords(atLeast: number): boolean {
    const length = Math.max(this.#words.length * 2, powerOfTwo(atLeast));
    if (!this.#budget.take(length * 4)) return false;
    const released = this.#words.byteLength;
    this.#words = grown(this.#words, length);
    this.#budget.give(released);
    return true;
  }
}

/** No early end: nearly always the sequences are equal, and one branch per word costs more. */
function isSame(
  words: Uint32Array,
  start: number,
  source: Uint32Array,
  first: number,
  length: number,
): boolean {
  let difference = 0;
  let a = start;
  let b = first;
  for (const end = first + length - 3; b < end; a += 4, b += 4) {
    difference |=
      (words[a]! ^ source[b]!) |
      (words[a + 1]! ^ source[b + 1]!) |
      (words[a + 2]! ^ source[b + 2]!) |
      (words[a + 3]! ^ source[b + 3]!);
  }
  for (const end = first + length; b < end; a++, b++) difference |= words[a]! ^ source[b]!;
  return difference === 0;
}

function insert(slots: Int32Array, mask: number, hash: number, entry: number): void {
  let slot = hash & mask;
  while (slots[slot * slotWords + 1] !== 0) slot = (slot + 1) & mask;
  slots[slot * slotWords] = hash;
  slots[slot * slotWords + 1] = entry;
}

function grown(array: Uint32Array, length: number): Uint32Array {
  const result = new Uint32Array(length);
  result.set(array);
  return result;
}

function powerOfTwo(atLeast: number): number {
  return atLeast <= 1 ? 1 : 2 ** Math.ceil(Math.log2(atLeast));
}

/**
 * Two chains, over every other pair of words, so that the processor overlaps
 * their multiplications; the rotation carries the upper bits down, which a
 * product alone never does. The end is a variant of MurmurHash3's finalizer.
 */
function hashWords(source: Uint32Array, first: number, length: number, tag: number): number {
  let a = tag ^ length;
  let b = 0x9e3779b9;
  let at = first;
  for (const end = first + length - 3; at < end; at += 4) {
    a = (a << 13) | (a >>> 19);
    b = (b << 13) | (b >>> 19);
    a = Math.imul(a ^ (source[at]! + Math.imul(source[at + 1]!, 0xc2b2ae35)), 0x85ebca6b);
    b = Math.imul(b ^ (source[at + 2]! + Math.imul(source[at + 3]!, 0xc2b2ae35)), 0x2c1b3c6d);
  }
  for (const end = first + length; at < end; at++) {
    a = Math.imul(((a << 13) | (a >>> 19)) ^ source[at]!, 0x85ebca6b);
  }
  let hash = a ^ ((b << 16) | (b >>> 16));
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}
