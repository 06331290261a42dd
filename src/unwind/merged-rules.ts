/** Two sources of rules for one file: the second speaks where the first has none. */
import type { TextOffset } from '../units/units.ts';
import { textOffset } from '../units/units.ts';
import { RowBuilder } from './rows.ts';
import { Rule } from './rule.ts';
import type { RowSink, RuleSource } from './source.ts';

/**
 * For Go programs with C code inside: Go's tables cover Go's functions, call
 * frame information the rest. Both describe a range only once asked for it.
 */
export class MergedRules implements RuleSource {
  readonly #first: RuleSource;
  readonly #second: RuleSource;

  constructor(first: RuleSource, second: RuleSource) {
    this.#first = first;
    this.#second = second;
  }

  get problems(): ReadonlyMap<string, number> {
    const all = new Map(this.#first.problems);
    for (const [reason, count] of this.#second.problems) {
      all.set(reason, (all.get(reason) ?? 0) + count);
    }
    return all;
  }

  rows(from: TextOffset, to: TextOffset, sink: RowSink): void {
    const builder = new RowBuilder();
    this.#first.rows(from, to, (start, rule) => builder.push(start, rule));
    const { offsets, rules } = builder.build();
    for (let i = 0; i < offsets.length; i++) {
      const start = textOffset(offsets[i]!);
      const end = textOffset(offsets[i + 1] ?? to);
      if (rules[i] === Rule.None) this.#second.rows(start, end, sink);
      else sink(start, rules[i]!);
    }
  }
}
