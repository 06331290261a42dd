/** One source of frame description entries: a section and an index of it. */
import type { EntryReader, Fde } from './cfi-entry.ts';
import { malformed } from './failure.ts';
import { type FdeIndex, findFde } from './fde-index.ts';
import { ParseError } from './source.ts';

/**
 * Linkers write one entry per address and no empty functions; a few come from
 * assembler sources. A longer run is nonsense.
 */
export const MAX_RUN = 64;

export class FdeLayer {
  readonly entries: EntryReader;
  readonly index: FdeIndex;
  /** The index comes from the file and is checked against the entries. */
  readonly isForeign: boolean;
  readonly #textBase: number;

  constructor(entries: EntryReader, index: FdeIndex, isForeign: boolean, textBase: number) {
    this.entries = entries;
    this.index = index;
    this.isForeign = isForeign;
    this.#textBase = textBase;
  }

  /**
   * Reads FDE `number` into `fde`.
   * @throws ParseError `search_table` when a foreign index turns out to be
   *   nonsense; other reasons when only this entry is malformed.
   */
  load(number: number, fde: Fde): void {
    const position = this.index.position(number);
    if (this.isForeign && !(position >= 0 && position < this.entries.section.bytes.size)) {
      throw new ParseError('search_table', `entry ${number} points out of the section`);
    }
    try {
      this.entries.fde(position, fde);
    } catch (error) {
      if (!this.isForeign || malformed(error).reason !== 'not_an_fde') throw error;
      throw new ParseError('search_table', `entry ${number} does not point to an FDE`);
    }
    if (this.isForeign && fde.start - this.#textBase !== this.index.start(number)) {
      throw new ParseError('search_table', `entry ${number} disagrees with its FDE`);
    }
  }

  /**
   * Where to begin a walk that must know what holds at `offset`: the entry that
   * begins at or before it, with those beside it at the same address.
   */
  firstFor(offset: number): number {
    const { index } = this;
    const fde = {} as Fde;
    let number = findFde(index, offset);
    if (number < 0) return 0;
    for (let steps = 0; number > 0 && steps < MAX_RUN; steps++) {
      if (index.start(number - 1) !== index.start(number) && !this.#isEmpty(number, fde)) break;
      number--;
    }
    return number;
  }

  /** The number after the last entry that begins where entry `number` does. */
  endOfRun(number: number): number {
    const { index } = this;
    const start = index.start(number);
    let end = number + 1;
    while (end < index.count && index.start(end) === start) {
      end++;
      if (end - number > MAX_RUN) throw new ParseError('search_table', `${MAX_RUN} equal starts`);
    }
    if (end < index.count && index.start(end) < start) {
      throw new ParseError('search_table', `entry ${end} is not in order`);
    }
    return end;
  }

  #isEmpty(number: number, fde: Fde): boolean {
    try {
      this.load(number, fde);
    } catch (error) {
      if (malformed(error).reason === 'search_table') throw error;
      return false;
    }
    return fde.end <= fde.start;
  }
}
