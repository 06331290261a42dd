/** Asks the agent for the tree of the chosen window, again and again. */

export interface PollerEvents {
  tree(value: unknown): void;
  status(value: unknown): void;
  /** No answer, or one that is no use; `since` in milliseconds since 1970. */
  lost(reason: string, since: number): void;
  /** An answer after `lost`. */
  found(): void;
}

const PERIOD_MS = 3_000;
const SLOWEST_MS = 15_000;
const TIMEOUT_MS = 12_000;

export class Poller {
  readonly #events: PollerEvents;
  #seconds: number;
  #paused = false;
  #timer = 0;
  #etag = '';
  #failures = 0;
  #lostSince = 0;
  /** Answers to an older window are dropped. */
  #round = 0;

  constructor(seconds: number, events: PollerEvents) {
    this.#seconds = seconds;
    this.#events = events;
    // A page nobody looks at costs the agent nothing.
    document.addEventListener('visibilitychange', () => {
      if (!document.hidden) this.#now();
    });
  }

  start(): void {
    this.#now();
  }

  setSeconds(seconds: number): void {
    this.#seconds = seconds;
    this.#etag = '';
    this.#now();
  }

  setPaused(paused: boolean): void {
    this.#paused = paused;
    if (!paused) this.#now();
  }

  #now(): void {
    clearTimeout(this.#timer);
    void this.#poll(++this.#round);
  }

  async #poll(round: number): Promise<void> {
    if (!this.#paused && !document.hidden) {
      try {
        await this.#ask(round);
        if (round !== this.#round) return;
        this.#failures = 0;
        if (this.#lostSince !== 0) {
          this.#lostSince = 0;
          this.#events.found();
        }
      } catch (error) {
        if (round !== this.#round) return;
        this.#failures++;
        this.#lostSince ||= Date.now();
        const reason = error instanceof AgentError ? error.message : 'The agent does not answer.';
        this.#events.lost(reason, this.#lostSince);
      }
    }
    if (round !== this.#round) return;
    const wait = Math.min(SLOWEST_MS, PERIOD_MS * 2 ** Math.min(this.#failures, 3));
    this.#timer = window.setTimeout(() => this.#now(), this.#failures > 1 ? wait : PERIOD_MS);
  }

  async #ask(round: number): Promise<void> {
    const options = { cache: 'no-store', signal: AbortSignal.timeout(TIMEOUT_MS) } as const;
    const [flame, status] = await Promise.all([
      fetch(`api/flame?seconds=${this.#seconds}`, {
        ...options,
        headers: this.#etag === '' ? {} : { 'If-None-Match': this.#etag },
      }),
      fetch('api/status', options),
    ]);
    for (const response of [flame, status]) {
      if (response.ok || response.status === 304) continue;
      if (response.status === 401) {
        throw new AgentError('The agent asks for its token: open the address that it printed.');
      }
      throw new AgentError(`The agent answered ${response.status}.`);
    }
    const facts: unknown = await status.json();
    const tree: unknown = flame.status === 304 ? null : await flame.json();
    if (round !== this.#round) return;
    this.#events.status(facts);
    if (tree !== null) {
      this.#etag = flame.headers.get('ETag') ?? '';
      this.#events.tree(tree);
    }
  }
}

class AgentError extends Error {
  override readonly name = 'AgentError';
}
