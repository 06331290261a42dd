/**
 * How many addresses of a process are told apart. Real programs meet a few new ones per sample; a
 * process that invents return addresses has a thousand in each, and all of them would be looked
 * up, kept and sent.
 */
import type { Aggregated } from './aggregator.ts';
import type { WordTable } from './word-table.ts';

/** Of one process: so many for each of its samples, and a deep stack in any case. */
const PER_SAMPLE = 16;
const AT_LEAST = 1024;
/** Of all processes. Once there are so many, each process has room for a few of its own only. */
const OF_ALL = 1 << 17;
const PER_SAMPLE_OF_FEW = 4;
const AT_LEAST_OF_FEW = 64;

export class AddressAllowance {
  readonly #samples: Float64Array;
  readonly #used: Uint32Array;
  #all = 0;

  constructor({ rows, instance, instances, count }: Aggregated) {
    this.#samples = new Float64Array(instances.length);
    this.#used = new Uint32Array(instances.length);
    for (let row = 0; row < rows; row++) {
      const at = instance[row]!;
      this.#samples[at] = this.#samples[at]! + count[row]!;
    }
  }

  /** Number of an address (`words` words of `key`) of a process; -1 when it is one too many. */
  intern(table: WordTable, instance: number, key: Uint32Array, words: number): number {
    const known = table.find(key, 0, words, 0);
    return known < 0 && this.#take(instance) ? table.intern(key, 0, words, 0) : known;
  }

  #take(instance: number): boolean {
    const used = this.#used[instance]!;
    const samples = this.#samples[instance]!;
    const limit =
      this.#all < OF_ALL
        ? Math.max(AT_LEAST, PER_SAMPLE * samples)
        : AT_LEAST_OF_FEW + PER_SAMPLE_OF_FEW * samples;
    if (used >= limit) return false;
    this.#used[instance] = used + 1;
    this.#all++;
    return true;
  }
}
