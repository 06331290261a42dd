/**
 * The rows of a profile as OTLP tells them apart: by process, stack, attributes
 * and link. Rows that differ only in what is not sent are added up.
 */
import { isGoroutineLabel } from './goroutine-labels.ts';
import type { Label, Profile } from './model.ts';
import { attributeKey, type OtlpStrings } from './otlp-strings.ts';
import type { OtlpTables } from './otlp-tables.ts';
import { isRequestLabel, requestOf } from './request-id.ts';
import { WordTable } from './word-table.ts';

export interface RowOptions {
  /**
   * Labels that are sent as attributes, beside the ids of requests: each value of one
   * becomes a series of its own in Pyroscope. Absent: all but those of goroutines.
   */
  readonly sampleLabels?: ReadonlySet<string> | 'all';
}

export function isLabelSent(key: string, { sampleLabels }: RowOptions): boolean {
  if (sampleLabels === undefined) return !isGoroutineLabel(key);
  return sampleLabels === 'all' || sampleLabels.has(key);
}

/** What a set of labels becomes. */
export interface OtlpLabels {
  /** Indices of attributes; no two have the same key. */
  readonly attributes: readonly number[];
  readonly link: number;
}

/** What to write: rows of the model with what their columns become. */
export interface OtlpRows {
  /** Rows of the model; those of one process are together, in the profile's order of processes. */
  readonly order: Uint32Array;
  /** By place in `order`, where rows were added up; may exceed 32 bits. Else the model's count is right. */
  readonly sums: Float64Array | undefined;
  /** Index of the attribute by thread of the model, 0 = none. */
  readonly threads: Int32Array;
  /** Index into `labelSets` by label set of the model. */
  readonly labels: Int32Array;
  readonly labelSets: readonly OtlpLabels[];
}

const THREAD_NAME = 'thread.name';

export function otlpRows(
  profile: Profile,
  options: RowOptions,
  strings: OtlpStrings,
  tables: OtlpTables,
): OtlpRows {
  const { samples } = profile;
  const order = rowsByProcess(profile);
  const threads = new Translation(profile.threads.length, (index) =>
    strings.attribute(THREAD_NAME, profile.threads[index]!),
  );
  const sets = new LabelSets(profile, options, strings);
  const labels = new Translation(profile.labelSets.length, (index) => sets.add(index));
  threads.use(samples.thread, samples.count);
  labels.use(samples.labels, samples.count);
  const rows: OtlpRows = {
    order,
    sums: undefined,
    threads: threads.targets,
    labels: labels.targets,
    labelSets: sets.list,
  };
  // The model's rows are unique; only if something became equal on the way may they not be.
  const isUnique = !tables.isMerged && threads.isInjective() && labels.isInjective();
  return isUnique ? rows : addUp(profile, rows, tables);
}

/** Rows that have samples, ordered by process and else as they were. */
function rowsByProcess({ samples, processes }: Profile): Uint32Array {
  const { length, count, process: processColumn } = samples;
  const next = new Uint32Array(processes.length + 1);
  for (let row = 0; row < length; row++) {
    // Receivers drop zero values, and one fails on them.
    if (count[row] !== 0) next[processColumn[row]! + 1]!++;
  }
  for (let process = 0; process < processes.length; process++) {
    next[process + 1]! += next[process]!;
  }
  const order = new Uint32Array(next[processes.length]!);
  for (let row = 0; row < length; row++) {
    if (count[row] !== 0) order[next[processColumn[row]!]!++] = row;
  }
  return order;
}

/** Indices of the model as indices of ours, each worked out when first used. */
class Translation {
  /** By index in the model; -1 = not used. */
  readonly targets: Int32Array;
  readonly #compute: (index: number) => number;
  readonly #distinct = new Set<number>();
  #sources = 0;

  constructor(size: number, compute: (index: number) => number) {
    this.#compute = compute;
    this.targets = new Int32Array(size).fill(-1);
  }

  /** Takes in the entries of a column whose rows have samples. */
  use(column: Uint32Array, count: Uint32Array): void {
    const { targets } = this;
    for (let row = 0; row < column.length; row++) {
      if (count[row] !== 0 && targets[column[row]!] === -1) this.#add(column[row]!);
    }
  }

  isInjective(): boolean {
    return this.#distinct.size === this.#sources;
  }

  #add(index: number): void {
    const target = this.#compute(index);
    this.targets[index] = target;
    this.#distinct.add(target);
    this.#sources++;
  }
}

class LabelSets {
  readonly list: OtlpLabels[] = [];
  readonly #profile: Profile;
  readonly #options: RowOptions;
  readonly #strings: OtlpStrings;
  readonly #ids = new Map<string | number, number>();

  constructor(profile: Profile, options: RowOptions, strings: OtlpStrings) {
    this.#profile = profile;
    this.#options = options;
    this.#strings = strings;
  }

  add(index: number): number {
    const { attributes, link } = this.#translate(this.#profile.labelSets[index]!);
    const identity =
      attributes.length === 0 ? link : `${link} ${attributes.toSorted((a, b) => a - b)}`;
    let id = this.#ids.get(identity);
    if (id === undefined) {
      id = this.list.push({ attributes, link }) - 1;
      this.#ids.set(identity, id);
    }
    return id;
  }

  #translate(labels: readonly Label[]): OtlpLabels {
    const { traceId, spanId } = requestOf(labels);
    const isLink = traceId !== '' && spanId !== '';
    // Of several values of a key the last one counts, as in the other formats.
    let others: Map<string, string> | undefined;
    for (const { key, value } of labels) {
      if (isRequestLabel({ key, value }) ? isLink : !this.#isSent(key)) continue;
      others ??= new Map();
      others.set(attributeKey(key), value);
    }
    const attributes = [...(others ?? [])]
      .map(([key, value]) => this.#strings.attribute(key, value))
      .filter((attribute) => attribute !== 0);
    // A link is both ids: of half a one zeros would be taken for an id, by Pyroscope among
    // others, which reads attributes of these names as it reads links.
    return { attributes, link: isLink ? this.#strings.link(traceId, spanId) : 0 };
  }

  #isSent(key: string): boolean {
    // The thread itself has this attribute.
    if (key === THREAD_NAME && this.#profile.threads.length > 1) return false;
    return isLabelSent(key, this.#options);
  }
}

/** Keeps the first of rows that became equal, with the sum of all. */
function addUp({ samples }: Profile, rows: OtlpRows, tables: OtlpTables): OtlpRows {
  const unique = new WordTable();
  const key = new Uint32Array(4);
  const sums: number[] = [];
  const kept: number[] = [];
  for (let at = 0; at < rows.order.length; at++) {
    const row = rows.order[at]!;
    key[0] = samples.process[row]!;
    key[1] = tables.stackIndex[samples.stack[row]!]!;
    key[2] = rows.threads[samples.thread[row]!]!;
    key[3] = rows.labels[samples.labels[row]!]!;
    const id = unique.intern(key, 0, key.length, 0);
    if (id === kept.length) kept.push(row);
    sums[id] = (sums[id] ?? 0) + samples.count[row]!;
  }
  return { ...rows, order: Uint32Array.from(kept), sums: Float64Array.from(sums) };
}
