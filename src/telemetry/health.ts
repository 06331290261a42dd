/** Is the agent alive, and is it doing its work? For the probes of Kubernetes and systemd. */

export interface Verdict {
  readonly ok: boolean;
  /** One line, for people. */
  readonly words: string;
}

/** Flushes may take long (names of a large program), but not this many intervals. */
const INTERVALS = 3;
const LEAST_PATIENCE_MS = 60_000;

export class Health {
  readonly #now: () => number;
  #patienceMs = LEAST_PATIENCE_MS;
  #state: 'starting' | 'sampling' | 'stopping' = 'starting';
  #lastFlush: number | undefined;
  #since: number;
  #exporters = false;
  #faults: () => readonly string[] = () => [];
  #resolver = (): boolean => true;

  /** @param now milliseconds of a clock that only goes forward */
  constructor(intervalMs: number, now: () => number = () => performance.now()) {
    this.#now = now;
    this.#since = now();
    this.expect(intervalMs);
  }

  /** A profile this often. */
  expect(intervalMs: number): void {
    this.#patienceMs = Math.max(INTERVALS * intervalMs, LEAST_PATIENCE_MS);
  }

  sampling(): void {
    this.#state = 'sampling';
    this.#since = this.#now();
  }

  flushed(): void {
    this.#lastFlush = this.#now();
  }

  exportersOpen(): void {
    this.#exporters = true;
  }

  /** @param faults one for each exporter whose receiver takes nothing until somebody mends it; without secrets */
  watchExporters(faults: () => readonly string[]): void {
    this.#faults = faults;
  }

  /** @param isUp whether there is somebody who reads programs and names addresses */
  followResolver(isUp: () => boolean): void {
    this.#resolver = isUp;
  }

  stopping(): void {
    this.#state = 'stopping';
  }

  /** A restart would help when this is not ok: profiles have stopped coming. */
  get live(): Verdict {
    const silence = this.#now() - (this.#lastFlush ?? this.#since);
    if (this.#state === 'sampling' && silence > this.#patienceMs) {
      return no(`no profile for ${Math.round(silence / 1000)} s`);
    }
    return { ok: true, words: this.#state };
  }

  /** Sampling, the first profile has been made, and every exporter has somewhere to send it as far as is known. */
  get ready(): Verdict {
    if (this.#state !== 'sampling') return no(this.#state);
    if (!this.#exporters) return no('exporters are not open yet');
    if (this.#lastFlush === undefined) return no('no profile has been made yet');
    const faults = this.#faults();
    if (faults.length > 0) return no(`profiles wait: ${faults.join('; ')}`);
    if (!this.#resolver())
      return no('the thread that reads programs has failed and is started again');
    return this.live;
  }
}

const no = (words: string): Verdict => ({ ok: false, words });
