/** Finds out what is wrong after records of processes and mappings were lost, and has it looked up anew. */
import type { ProcessContexts } from '../context/process-contexts.ts';
import type { Process } from '../process/process.ts';
import type { ProcessTracker } from '../process/tracker.ts';
import type { KernelProcesses } from '../unwind/kernel-processes.ts';
import { RepairPauses } from './repair-pauses.ts';

/** Processes of which it is found out at a time whether they are still there; each takes 20 µs. */
const SURVEYED = 256;

/**
 * Milliseconds. Entries of the kernel side are compared in one; to read all mappings again takes
 * long, and whoever makes mappings faster than they are read is not to have others pay for it.
 */
const EVENT_PAUSES = { shortest: 200, longest: 1_000 };
const MAPPING_PAUSES = { shortest: 1_000, longest: 60_000 };

export class LossRepair {
  readonly #tracker: ProcessTracker;
  readonly #kernel: KernelProcesses;
  readonly #contexts: ProcessContexts;
  readonly #events: RepairPauses;
  readonly #mappings: RepairPauses;
  /** Processes that may have ended. */
  #surveyed: Process[] = [];

  /** @param clock milliseconds that never go back */
  constructor(
    tracker: ProcessTracker,
    kernel: KernelProcesses,
    contexts: ProcessContexts,
    clock: () => number,
  ) {
    this.#tracker = tracker;
    this.#kernel = kernel;
    this.#contexts = contexts;
    this.#events = new RepairPauses(EVENT_PAUSES.shortest, EVENT_PAUSES.longest, clock);
    this.#mappings = new RepairPauses(MAPPING_PAUSES.shortest, MAPPING_PAUSES.longest, clock);
  }

  /** Milliseconds until run() has something to do; undefined when there is nothing. */
  get due(): number | undefined {
    if (this.#surveyed.length > 0) return 0;
    const [events, mappings] = [this.#events.due, this.#mappings.due];
    if (events === undefined || mappings === undefined) return events ?? mappings;
    return Math.min(events, mappings);
  }

  /** Records of exec, exit or fork were lost. */
  loseEvents(): void {
    this.#kernel.doubt();
    this.#events.ask();
  }

  /** Records of mappings were lost. */
  loseMappings(): void {
    this.#tracker.distrustImages();
    this.#mappings.ask();
  }

  run(): void {
    if (this.#mappings.take()) {
      this.#tracker.distrust();
      this.#kernel.forgetAll();
    }
    if (this.#events.take()) {
      this.#kernel.repair();
      this.#contexts.missed();
      this.#surveyed = this.#tracker.living();
    }
    for (const process of this.#surveyed.splice(0, SURVEYED)) {
      if (this.#tracker.hasEnded(process)) this.#kernel.forget(process.identity.pid);
    }
  }
}
