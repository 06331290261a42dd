/** A part of a profile as a profile of its own, whose tables hold only what the part uses. */
import type { Label, Location, Profile } from './model.ts';

/** Samples to be of one process; columns of equal length, indices as in the whole profile. */
export interface PartColumns {
  readonly stack: Uint32Array;
  readonly count: Uint32Array;
  /** Index into `labelSets`. */
  readonly labels: Uint32Array;
  /** [0] = no labels. */
  readonly labelSets: readonly (readonly Label[])[];
}

/** @param process index of whom the samples are shown as; the tally stays that of the whole profile */
export function partOf(profile: Profile, process: number, columns: PartColumns): Profile {
  const stacks = new Selection(profile.stacks);
  const locations = new Selection(profile.locations);
  const functions = new Selection(profile.functions);
  const mappings = new Selection(profile.mappings);
  const labelSets = new Selection(columns.labelSets);
  mappings.use(0);
  labelSets.use(0);
  const samples = {
    length: columns.stack.length,
    process: new Uint32Array(columns.stack.length),
    thread: new Uint32Array(columns.stack.length),
    stack: columns.stack.map((stack) => stacks.use(stack)),
    count: columns.count,
    labels: columns.labels.map((labels) => labelSets.use(labels)),
  };
  const usedStacks = stacks.list.map((stack) => stack.map((location) => locations.use(location)));
  const usedLocations = locations.list.map(
    (location): Location => ({
      ...location,
      mapping: mappings.use(location.mapping),
      lines: location.lines.map((line) => ({ ...line, function: functions.use(line.function) })),
    }),
  );
  return {
    ...profile,
    mappings: mappings.list,
    functions: functions.list,
    locations: usedLocations,
    stacks: usedStacks,
    processes: [profile.processes[process]!],
    threads: [''],
    labelSets: labelSets.list,
    samples,
  };
}

/** What is used of a table, in the order of first use. */
class Selection<Entry> {
  readonly list: Entry[] = [];
  readonly #table: readonly Entry[];
  readonly #indices = new Map<number, number>();

  constructor(table: readonly Entry[]) {
    this.#table = table;
  }

  /** @returns the index in `list` */
  use(index: number): number {
    const known = this.#indices.get(index);
    if (known !== undefined) return known;
    this.#indices.set(index, this.list.length);
    return this.list.push(this.#table[index]!) - 1;
  }
}
