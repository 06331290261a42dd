/** The unwind tables of one binary: built region by region when first needed. */
import {
  CALL_PAGE_SHIFT,
  CALL_REGION_SHIFT,
  FULL_PAGE_SHIFT,
  FULL_REGION_SHIFT,
} from '../capture/record.ts';
import { type TextOffset, textOffset } from '../units/units.ts';
import { CALL_LOOKBACK, callSiteRows, callSites } from './call-sites.ts';
import { RowBuilder, type Rows, ruleAt } from './rows.ts';
import { type EncodedRule, Rule } from './rule.ts';
import type { RuleSource } from './source.ts';
import type { FilePlace, TableStore } from './table-store.ts';

/** What tables are built from. */
export interface TextSource {
  readonly rules: RuleSource;
  /** Bytes of text from the lowest executable address on. */
  readonly textSize: number;
  /**
   * Bytes of text, at most MAX_TEXT_READ, zeros where the file has none; only
   * valid until the next call of any binary's.
   * @throws ParseError
   */
  readText(from: TextOffset, length: number): Uint8Array;
}

/** Of TextSource.readText: a region and the calls that may begin before it. */
export const MAX_TEXT_READ = 2 ** CALL_REGION_SHIFT + CALL_LOOKBACK;

/** Regions kept here that the kernel has no room for: rebuilt when they are needed again. */
const MAX_UNPLACED = 16;

export class FileTables {
  readonly #text: TextSource;
  readonly #store: TableStore;
  readonly #place: FilePlace | undefined;
  readonly #full = new Map<number, Rows>();
  readonly #call = new Map<number, Rows>();
  /** How to forget the rows of regions that are only here, oldest first. */
  readonly #unplaced: (() => void)[] = [];

  constructor(text: TextSource, store: TableStore) {
    this.#text = text;
    this.#store = store;
    this.#place = store.addFile(
      Math.ceil(text.textSize / 2 ** CALL_REGION_SHIFT),
      Math.ceil(text.textSize / 2 ** FULL_REGION_SHIFT),
    );
  }

  /** Index in `ft_files`; undefined when the kernel has no room for the file. */
  get index(): number | undefined {
    return this.#place?.index;
  }

  /**
   * The rule at an offset; `exact` picks the full table, else the one of call
   * sites (pass the return address - 1). Loads the region, here and in the kernel.
   */
  rule(offset: TextOffset, exact: boolean): EncodedRule {
    if (offset < 0 || offset >= this.#text.textSize) return Rule.None;
    return ruleAt(exact ? this.#fullRegion(offset) : this.#callRegion(offset), offset);
  }

  /** Gives the kernel's room back. */
  close(): void {
    if (this.#place) this.#store.removeFile(this.#place);
    this.#full.clear();
    this.#call.clear();
    this.#unplaced.length = 0;
  }

  #fullRegion(offset: number): Rows {
    const region = offset >>> FULL_REGION_SHIFT;
    let rows = this.#full.get(region);
    if (rows === undefined) {
      const start = region * 2 ** FULL_REGION_SHIFT;
      rows = this.#build(start, start + 2 ** FULL_REGION_SHIFT);
      this.#full.set(region, rows);
      const directoryAt = (this.#place?.fullDirectory ?? 0) + region;
      this.#load(directoryAt, start, FULL_PAGE_SHIFT, rows, () => this.#full.delete(region));
    }
    return rows;
  }

  #callRegion(offset: number): Rows {
    const region = offset >>> CALL_REGION_SHIFT;
    let rows = this.#call.get(region);
    if (rows === undefined) {
      const start = region * 2 ** CALL_REGION_SHIFT;
      const length = Math.min(2 ** CALL_REGION_SHIFT, this.#text.textSize - start);
      const before = Math.min(CALL_LOOKBACK, start);
      const text = this.#text.readText(textOffset(start - before), before + length);
      const sites = callSites(text, textOffset(start - before), this.#text.textSize);
      const { offsets, rules } = this.#build(start, start + length);
      rows = startAt(callSiteRows(offsets, rules, sites), start);
      this.#call.set(region, rows);
      const directoryAt = (this.#place?.callDirectory ?? 0) + region;
      this.#load(directoryAt, start, CALL_PAGE_SHIFT, rows, () => this.#call.delete(region));
    }
    return rows;
  }

  /** Rows live as long as the kernel's copy of them. */
  #load(
    directoryAt: number,
    start: number,
    pageShift: number,
    rows: Rows,
    forget: () => void,
  ): void {
    const place = this.#place;
    const isPlaced = place && this.#store.load(place, directoryAt, start, pageShift, rows, forget);
    if (isPlaced) return;
    if (this.#unplaced.length === MAX_UNPLACED) this.#unplaced.shift()!();
    this.#unplaced.push(forget);
  }

  #build(from: number, to: number): Rows {
    const end = Math.min(to, this.#text.textSize);
    const builder = new RowBuilder();
    this.#text.rules.rows(textOffset(from), textOffset(end), (start, rule) =>
      builder.push(start, rule),
    );
    return startAt(builder.build(), from);
  }
}

/** Rows whose first one is in force at `start`, as the kernel's index expects. */
function startAt(rows: Rows, start: number): Rows {
  if (rows.offsets[0] === start) return rows;
  if (rows.offsets.length > 0 && rows.offsets[0]! < start) {
    rows.offsets[0] = start;
    return rows;
  }
  const count = rows.offsets.length;
  const offsets = new Uint32Array(count + 1);
  const rules = new Uint32Array(count + 1);
  offsets[0] = start;
  rules[0] = Rule.None;
  offsets.set(rows.offsets, 1);
  rules.set(rows.rules, 1);
  return { offsets, rules };
}
