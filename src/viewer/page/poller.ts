/** Asks the agent for what is shown, again and again. */

/** Addresses of what is shown. */
export interface Question {
  readonly flame: string;
  /** Of the list or the request beside it; '' = nobody looks at it. */
  readonly details: string;
}

export interface PollerEvents {
  tree(value: unknown): void;
  details(value: unknown): void;
  /** There is no such request, or not any more. */
  missing(reason: string): void;
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
  #question: Question;
  #paused = false;
  #timer = 0;
  #etag = '';
  #failures = 0;
  #lostSince = 0;
  /** Of what `details` and the version they were asked for at. */
  #detailed = '';
  #version = 0;
  /** Answers to an older question are dropped. */
  #round = 0;

  constructor(question: Question, events: PollerEvents) {
    this.#question = question;
    this.#events = events;
    // A page nobody looks at costs the agent nothing.
    document.addEventListener('visibilitychange', () => {
      if (!document.hidden) this.#now();
    });
  }

  start(): void {
    this.#now();
  }

  ask(question: Question): void {
    if (question.flame !== this.#question.flame) this.#etag = '';
    this.#question = question;
    this.#detailed = '';
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
    const { flame: address, details: more } = this.#question;
    const detailed = `${this.#version} ${more}`;
    const isNew = more !== '' && detailed !== this.#detailed;
    const [flame, status, details] = await Promise.all([
      fetch(address, {
        ...options,
        headers: this.#etag === '' ? {} : { 'If-None-Match': this.#etag },
      }),
      fetch('api/status', options),
      isNew ? fetch(more, options) : null,
    ]);
    for (const response of [flame, status, details]) {
      if (response === null || response.ok || response.status === 304) continue;
      if (response === details && response.status === 404) continue;
      if (response.status === 401) {
        throw new AgentError(
          'The agent asks for its token: open the address that it printed, or the one of `flametap view --address`.',
        );
      }
      throw new AgentError(`The agent answered ${response.status}.`);
    }
    const facts: unknown = await status.json();
    const tree: unknown = flame.status === 304 ? null : await flame.json();
    const found: unknown = await details?.json();
    if (round !== this.#round) return;
    this.#version = versionOf(facts);
    this.#events.status(facts);
    if (tree !== null) {
      this.#etag = flame.headers.get('ETag') ?? '';
      this.#events.tree(tree);
    }
    if (details?.ok) {
      this.#detailed = detailed;
      this.#events.details(found);
    } else if (details) this.#events.missing(reasonOf(found));
  }
}

function versionOf(status: unknown): number {
  const { version } = status as { version?: unknown };
  return typeof version === 'number' ? version : 0;
}

function reasonOf(answer: unknown): string {
  const { error } = (answer ?? {}) as { error?: unknown };
  return typeof error === 'string' ? error : '';
}

class AgentError extends Error {
  override readonly name = 'AgentError';
}
