/** A profile as Pyroscope stores it: by series, that is by equal labels. */

import type { Label, Profile } from '../profile/model.ts';
import { type PartColumns, partOf } from '../profile/part.ts';
import { WordTable } from '../profile/word-table.ts';
import { unixTime } from '../units/units.ts';
import { type SeriesOptions, sampleLabels, seriesLabels } from './series-labels.ts';

/** Samples of all processes with the same labels, equal ones added up. */
export class Series {
  readonly labels: readonly (readonly [name: string, value: string])[];
  readonly #profile: Profile;
  readonly #process: number;
  readonly #columns: PartColumns;

  constructor(
    profile: Profile,
    process: number,
    labels: ReadonlyMap<string, string>,
    columns: PartColumns,
  ) {
    this.labels = [...labels];
    this.#profile = profile;
    this.#process = process;
    this.#columns = columns;
  }

  /** Number of samples. */
  get length(): number {
    return this.#columns.stack.length;
  }

  /**
   * Some of the samples as a profile. Pyroscope keeps one profile per series and
   * start time, so each part has another: later by as many nanoseconds as there
   * are samples before it. A part can be divided further in the same way and
   * meets no other.
   */
  part(first: number, end: number): Profile {
    const { stack, count, labels, labelSets } = this.#columns;
    const columns = {
      stack: stack.subarray(first, end),
      count: count.subarray(first, end),
      labels: labels.subarray(first, end),
      labelSets,
    };
    const part = partOf(this.#profile, this.#process, columns);
    return { ...part, startTime: unixTime(this.#profile.startTime + BigInt(first)) };
  }
}

/** In the order of the profile's processes. */
export function seriesOf(profile: Profile, options: SeriesOptions): readonly Series[] {
  const collectors = new Map<string, SeriesCollector>();
  const ofProcess = profile.processes.map((process, index) => {
    const labels = seriesLabels(process, profile.host, options);
    const key = JSON.stringify([...labels]);
    const known = collectors.get(key);
    if (known !== undefined) return known;
    const collector = new SeriesCollector(profile, index, labels, options);
    collectors.set(key, collector);
    return collector;
  });
  const { length, process } = profile.samples;
  for (let row = 0; row < length; row++) ofProcess[process[row]!]!.add(row);
  return [...collectors.values()].map((one) => one.finish()).filter((one) => one.length > 0);
}

class SeriesCollector {
  readonly #profile: Profile;
  readonly #process: number;
  readonly #labels: ReadonlyMap<string, string>;
  readonly #options: SeriesOptions;
  readonly #samples = new WordTable();
  readonly #key = new Uint32Array(2);
  readonly #counts: number[] = [];
  readonly #labelSets: (readonly Label[])[] = [[]];
  readonly #labelSetIds = new Map<string, number>([['[]', 0]]);
  /** By label set and thread of the profile. */
  readonly #translated = new Map<string, number>();

  constructor(
    profile: Profile,
    process: number,
    labels: ReadonlyMap<string, string>,
    options: SeriesOptions,
  ) {
    this.#profile = profile;
    this.#process = process;
    this.#labels = labels;
    this.#options = options;
  }

  add(row: number): void {
    const { stack, count, thread, labels } = this.#profile.samples;
    // Receivers drop zero values, and some fail on them.
    if (count[row] === 0) return;
    this.#key[0] = stack[row]!;
    this.#key[1] = this.#labelSet(labels[row]!, thread[row]!);
    const id = this.#samples.intern(this.#key, 0, this.#key.length, 0);
    this.#counts[id] = (this.#counts[id] ?? 0) + count[row]!;
  }

  finish(): Series {
    const { words, length } = this.#samples;
    const columns = {
      stack: Uint32Array.from({ length }, (_, sample) => words[2 * sample]!),
      labels: Uint32Array.from({ length }, (_, sample) => words[2 * sample + 1]!),
      count: Uint32Array.from(this.#counts),
      labelSets: this.#labelSets,
    };
    return new Series(this.#profile, this.#process, this.#labels, columns);
  }

  #labelSet(index: number, thread: number): number {
    const key = `${index} ${thread}`;
    let id = this.#translated.get(key);
    if (id === undefined) {
      const name = { key: 'thread', value: this.#profile.threads[thread]! };
      const all = [...this.#profile.labelSets[index]!, name];
      id = this.#labelSetId(sampleLabels(all, this.#labels, this.#options));
      this.#translated.set(key, id);
    }
    return id;
  }

  #labelSetId(labels: readonly Label[]): number {
    const identity = JSON.stringify(labels);
    let id = this.#labelSetIds.get(identity);
    if (id === undefined) {
      id = this.#labelSets.push(labels) - 1;
      this.#labelSetIds.set(identity, id);
    }
    return id;
  }
}
