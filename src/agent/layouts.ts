/** The mapping lists that samples name by a number: what a process had mapped when its stack was unwound. */
import type { MappingList, Process } from '../process/process.ts';

export interface Layout {
  readonly process: Process;
  readonly mappings: MappingList;
}

export class Layouts {
  readonly #byNumber = new Map<number, Layout>();
  #next = 1;

  /** Gives the mappings that a process has now their number. */
  number(process: Process): void {
    process.layout = this.#next++;
    process.stale = false;
    this.#byNumber.set(process.layout, { process, mappings: process.mappings });
  }

  get(number: number): Layout | undefined {
    return this.#byNumber.get(number);
  }

  /** Numbers that processes have now, and so may their samples. */
  usedBy(processes: Iterable<Process>): Set<number> {
    const used = new Set<number>();
    for (const process of processes) used.add(process.layout);
    return used;
  }

  /** Forgets all but those. */
  keep(...used: readonly ReadonlySet<number>[]): void {
    for (const number of this.#byNumber.keys()) {
      if (!used.some((set) => set.has(number))) this.#byNumber.delete(number);
    }
  }
}
