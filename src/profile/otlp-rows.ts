/**
 * The rows of a profile as OTLP tells them apart: by process, stack, attributes
 * and link. Rows that differ only in what is not sent are added up.
 */
import { isGoroutineLabel } from './goroutine-labels.ts';
import type { Label, Profile } from './model.ts';
import { attributeKey, type OtlpStrings } from './otlp-strings.ts';
import type { OtlpTables } from './otlp-tables.ts';
import { WordTable } from './word-table.ts';

export interface RowOptions {
  /** Sends the labels about goroutines: each goroutine becomes a series of its own in Pyroscope. */
  readonly goroutines: boolean;
}

/** What a set of labels becomes. */
export interface OtlpLabels {
  /** Indices of attributes; no two have the same key. */
  readonly attributes: readonly number[];
  readonly link: number;
}

/** Columns; rows of one process are together, in the profile's order of processes. */
export interface OtlpRows {
  readonly length: number;
  /** Index into the profile's processes. */
  readonly process: Uint32Array;
  /** Index into the table of stacks. */
  readonly stack: Uint32Array;
  /** Index of the attribute, 0 = none. */
  readonly thread: Uint32Array;
  /** Index into `labelSets`. */
  readonly labels: Uint32Array;
  /** Sums may exceed 32 bits. */
  readonly count: Uint32Array | Float64Array;
  readonly labelSets: readonly OtlpLabels[];
}

const TRACE_ID = /^[0-9a-f]{32}$/;
const SPAN_ID = /^[0-9a-f]{16}$/;
const ZEROS = /^0*$/;
const THREAD_NAME = 'thread.name';

export function otlpRows(
  profile: Profile,
  options: RowOptions,
  strings: OtlpStrings,
  tables: OtlpTables,
): OtlpRows {
  const { samples } = profile;
  const order = rowsByProcess(profile);
  const { length } = order;
  const threads = new Translation(profile.threads.length, (index) =>
    strings.attribute(THREAD_NAME, profile.threads[index]!),
  );
  const labels = new LabelSets(profile, options, strings);
  const labelSets = new Translation(profile.labelSets.length, (index) => labels.add(index));
  const rows = {
    length,
    process: new Uint32Array(length),
    stack: new Uint32Array(length),
    thread: new Uint32Array(length),
    labels: new Uint32Array(length),
    count: new Uint32Array(length),
    labelSets: labels.list,
  };
  for (let at = 0; at < length; at++) {
    const row = order[at]!;
    rows.process[at] = samples.process[row]!;
    rows.stack[at] = tables.stackIndex[samples.stack[row]!]!;
    rows.thread[at] = threads.of(samples.thread[row]!);
    rows.labels[at] = labelSets.of(samples.labels[row]!);
    rows.count[at] = samples.count[row]!;
  }
  // The model's rows are unique; only if something became equal on the way may they not be.
  const isUnique = !tables.isMerged && threads.isInjective() && labelSets.isInjective();
  return isUnique ? rows : addUp(rows);
}

/** Rows that have samples, ordered by process and else as they were. */
function rowsByProcess({ samples, processes }: Profile): Uint32Array {
  const next = new Uint32Array(processes.length + 1);
  for (let row = 0; row < samples.length; row++) {
    // Receivers drop zero values, and one fails on them.
    if (samples.count[row] !== 0) next[samples.process[row]! + 1]!++;
  }
  for (let process = 0; process < processes.length; process++) {
    next[process + 1]! += next[process]!;
  }
  const order = new Uint32Array(next[processes.length]!);
  for (let row = 0; row < samples.length; row++) {
    if (samples.count[row] !== 0) order[next[samples.process[row]!]!++] = row;
  }
  return order;
}

/** Indices of the model as indices of ours, each worked out when first asked for. */
class Translation {
  readonly #compute: (index: number) => number;
  readonly #known: Int32Array;
  readonly #targets = new Set<number>();
  #sources = 0;

  constructor(size: number, compute: (index: number) => number) {
    this.#compute = compute;
    this.#known = new Int32Array(size).fill(-1);
  }

  of(index: number): number {
    const known = this.#known[index]!;
    return known === -1 ? this.#add(index) : known;
  }

  isInjective(): boolean {
    return this.#targets.size === this.#sources;
  }

  #add(index: number): number {
    const target = this.#compute(index);
    this.#known[index] = target;
    this.#targets.add(target);
    this.#sources++;
    return target;
  }
}

class LabelSets {
  readonly list: OtlpLabels[] = [];
  readonly #profile: Profile;
  readonly #goroutines: boolean;
  readonly #strings: OtlpStrings;
  readonly #ids = new Map<string, number>();

  constructor(profile: Profile, options: RowOptions, strings: OtlpStrings) {
    this.#profile = profile;
    this.#goroutines = options.goroutines;
    this.#strings = strings;
  }

  add(index: number): number {
    const { attributes, link } = this.#translate(this.#profile.labelSets[index]!);
    const identity = `${link} ${[...attributes].sort((a, b) => a - b).join()}`;
    let id = this.#ids.get(identity);
    if (id === undefined) {
      id = this.list.push({ attributes, link }) - 1;
      this.#ids.set(identity, id);
    }
    return id;
  }

  #translate(labels: readonly Label[]): OtlpLabels {
    let traceId = '';
    let spanId = '';
    // Of several values of a key the last one counts, as in the other formats.
    const others = new Map<string, string>();
    for (const { key, value } of labels) {
      if (key === 'trace_id' && isId(value, TRACE_ID)) traceId = value;
      else if (key === 'span_id' && isId(value, SPAN_ID)) spanId = value;
      else if (this.#isSent(key)) others.set(attributeKey(key), value);
    }
    const attributes = [...others]
      .map(([key, value]) => this.#strings.attribute(key, value))
      .filter((attribute) => attribute !== 0);
    return { attributes, link: this.#strings.link(traceId, spanId) };
  }

  #isSent(key: string): boolean {
    if (isGoroutineLabel(key)) return this.#goroutines;
    // The thread itself has this attribute.
    return key !== THREAD_NAME || this.#profile.threads.length === 1;
  }
}

function isId(value: string, pattern: RegExp): boolean {
  return pattern.test(value) && !ZEROS.test(value);
}

function addUp(rows: OtlpRows): OtlpRows {
  const unique = new WordTable();
  const key = new Uint32Array(4);
  const sums: number[] = [];
  for (let row = 0; row < rows.length; row++) {
    key[0] = rows.process[row]!;
    key[1] = rows.stack[row]!;
    key[2] = rows.thread[row]!;
    key[3] = rows.labels[row]!;
    const id = unique.intern(key, 0, key.length, 0);
    sums[id] = (sums[id] ?? 0) + rows.count[row]!;
  }
  const { length, words } = unique;
  const column = (field: number): Uint32Array =>
    Uint32Array.from({ length }, (_, row) => words[row * key.length + field]!);
  return {
    length,
    process: column(0),
    stack: column(1),
    thread: column(2),
    labels: column(3),
    count: Float64Array.from(sums),
    labelSets: rows.labelSets,
  };
}
