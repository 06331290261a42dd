/** Unwind rows of a range of text, as columns. */
import type { EncodedRule } from './rule.ts';

/** Row i holds from `offsets[i]` (text offset, ascending) to `offsets[i + 1]`. */
export interface Rows {
  readonly offsets: Uint32Array;
  readonly rules: Uint32Array;
}

/** The rule in force at `offset`; `Rule.None` (0) before the first row. */
export function ruleAt(rows: Rows, offset: number): EncodedRule {
  const { offsets, rules } = rows;
  let low = 0;
  let high = offsets.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (offsets[middle]! <= offset) low = middle + 1;
    else high = middle;
  }
  return low === 0 ? 0 : rules[low - 1]!;
}

/** Collects rows whose number is not known beforehand. */
export class RowBuilder {
  #offsets = new Uint32Array(1024);
  #rules = new Uint32Array(1024);
  #length = 0;

  push(offset: number, rule: EncodedRule): void {
    if (this.#length > 0 && this.#rules[this.#length - 1] === rule) return;
    if (this.#length > 0 && this.#offsets[this.#length - 1] === offset) {
      this.#rules[this.#length - 1] = rule;
      return;
    }
    if (this.#length === this.#offsets.length) {
      const offsets = new Uint32Array(this.#length * 2);
      const rules = new Uint32Array(this.#length * 2);
      offsets.set(this.#offsets);
      rules.set(this.#rules);
      this.#offsets = offsets;
      this.#rules = rules;
    }
    this.#offsets[this.#length] = offset;
    this.#rules[this.#length] = rule;
    this.#length++;
  }

  build(): Rows {
    return {
      offsets: this.#offsets.slice(0, this.#length),
      rules: this.#rules.slice(0, this.#length),
    };
  }
}
