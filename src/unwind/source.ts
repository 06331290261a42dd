/** What a table builder needs from a binary format: rules for ranges of text. */
import type { TextOffset } from '../units/units.ts';
import type { EncodedRule } from './rule.ts';

/**
 * Receives rows in ascending order of `start`: from `start` on `rule` holds,
 * until the next row. A gap is a row with `Rule.None`.
 */
export type RowSink = (start: TextOffset, rule: EncodedRule) => void;

/** Produces unwind rules from `.eh_frame`, `.debug_frame` or gopclntab. */
export interface RuleSource {
  /**
   * Emits all rows of [from, to), the first at exactly `from` (the rule in
   * force there). Cost grows with the range, not with the file. Broken entries
   * become `Rule.None` gaps and are counted in `problems`.
   */
  rows(from: TextOffset, to: TextOffset, sink: RowSink): void;
  /** Number of malformed entries met so far, by reason. */
  readonly problems: ReadonlyMap<string, number>;
}
