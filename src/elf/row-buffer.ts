/** Rows of a range, merged while they are made. */

import { textOffset } from '../units/units.ts';
import type { EncodedRule } from '../unwind/rule.ts';
import type { RowSink } from '../unwind/source.ts';

const START_CAPACITY = 4096;

export class RowBuffer {
  #count = 0;
  #starts = new Uint32Array(START_CAPACITY);
  #rules = new Uint32Array(START_CAPACITY);

  get count(): number {
    return this.#count;
  }

  /** From `start` on `rule` holds. `start` must be above that of the last row. */
  append(start: number, rule: EncodedRule): void {
    const count = this.#count;
    if (count > 0 && this.#rules[count - 1] === rule) return;
    if (count === this.#starts.length) this.#grow();
    this.#starts[count] = start;
    this.#rules[count] = rule;
    this.#count = count + 1;
  }

  /** Forgets what was appended from `start` on; a row before it goes on. */
  cut(start: number): void {
    let count = this.#count;
    while (count > 0 && this.#starts[count - 1]! >= start) count--;
    this.#count = count;
  }

  /** Forgets all rows but the first `count`. */
  truncate(count: number): void {
    this.#count = count;
  }

  emit(sink: RowSink): void {
    for (let index = 0; index < this.#count; index++) {
      sink(textOffset(this.#starts[index]!), this.#rules[index]!);
    }
  }

  #grow(): void {
    const capacity = this.#starts.length * 2;
    const starts = new Uint32Array(capacity);
    const rules = new Uint32Array(capacity);
    starts.set(this.#starts);
    rules.set(this.#rules);
    this.#starts = starts;
    this.#rules = rules;
  }
}
