/**
 * Priority of the resolver's thread. On a busy machine news of a process waited seconds for
 * it: with 8 busy processes on 2 CPUs the mean was 1.3 s, with this 0.2 s. It needs little
 * and sleeps between; when it does not, it is as important as anybody else.
 * Only this thread: a recorded command is started by another.
 */
import { setPriority } from 'node:os';

/** Nice value: nine times the share of a usual thread. */
const HURRIED = -10;
const USUAL = 0;
/** Of one CPU, in a window: above it it is at work for long. */
const BUSY_SHARE = 0.25;
const WINDOW_MS = 2_000;

export interface ThreadPriorityOptions {
  /** Milliseconds that never go back. */
  readonly clock: () => number;
  /** CPU time of this thread, milliseconds. */
  readonly cpu: () => number;
  readonly setNice?: (nice: number) => void;
}

export class ThreadPriority {
  readonly #clock: () => number;
  readonly #cpu: () => number;
  readonly #setNice: (nice: number) => void;
  #since: number;
  #cpuBefore: number;
  #nice = USUAL;

  constructor({ clock, cpu, setNice = (nice) => setPriority(nice) }: ThreadPriorityOptions) {
    this.#clock = clock;
    this.#cpu = cpu;
    this.#setNice = setNice;
    this.#since = clock();
    this.#cpuBefore = cpu();
    this.#set(HURRIED);
  }

  /** Called after each piece of work. */
  worked(): void {
    const elapsed = this.#clock() - this.#since;
    if (elapsed < WINDOW_MS) return;
    const cpu = this.#cpu();
    this.#set(cpu - this.#cpuBefore > elapsed * BUSY_SHARE ? USUAL : HURRIED);
    this.#since += elapsed;
    this.#cpuBefore = cpu;
  }

  #set(nice: number): void {
    if (nice === this.#nice) return;
    this.#nice = nice;
    try {
      this.#setNice(nice);
    } catch {
      // Without CAP_SYS_NICE first samples wait their turn.
    }
  }
}
