/**
 * Without a free descriptor nothing can be accepted. Node says nothing of it, and where the limit
 * lies below what is open its loop turns without rest, as the connection goes on waiting. So this
 * looks, counts and tells; and as long as it lasts the thread sleeps between any two turns.
 */
import { closeSync, openSync } from 'node:fs';
import { ViewerError } from './address.ts';

const LOOK_MS = 1_000;
/** Sleeping between two turns. */
const NAP_MS = 50;
/** Others can bring it about as often as they like. */
const TELL_MS = 60_000;
const SHORTAGES: ReadonlySet<string | undefined> = new Set(['EMFILE', 'ENFILE']);

export class DescriptorWatch {
  readonly #tell: (error: Error) => void;
  readonly #timer: NodeJS.Timeout;
  readonly #nap = new Int32Array(new SharedArrayBuffer(4));
  #turn: NodeJS.Immediate | undefined;
  #toldAt = Number.NEGATIVE_INFINITY;
  #shortages = 0;

  constructor(tell: (error: Error) => void) {
    this.#tell = tell;
    this.#timer = setInterval(() => this.#look(), LOOK_MS).unref();
  }

  /** How often none was free, where one was before. */
  get shortages(): number {
    return this.#shortages;
  }

  /** What Node says of a connection that cannot be accepted, when it says something. */
  accepting(error: Error): void {
    const now = performance.now();
    if (now - this.#toldAt < TELL_MS) return;
    this.#toldAt = now;
    const message = `a connection could not be accepted: ${error.message}`;
    this.#tell(new ViewerError(message, { cause: error }));
  }

  close(): void {
    clearInterval(this.#timer);
    clearImmediate(this.#turn);
  }

  #look(): void {
    if (this.#turn !== undefined) return;
    const shortage = shortageNow();
    if (shortage === undefined) return;
    this.#shortages++;
    this.accepting(
      new Error(`no descriptor is free (${shortage.code}): raise the limit of open files`),
    );
    this.#sleepBetweenTurns();
  }

  #sleepBetweenTurns(): void {
    this.#turn = setImmediate(() => {
      Atomics.wait(this.#nap, 0, 0, NAP_MS);
      this.#turn = undefined;
      if (shortageNow() !== undefined) this.#sleepBetweenTurns();
    });
  }
}

function shortageNow(): NodeJS.ErrnoException | undefined {
  try {
    closeSync(openSync('/dev/null', 'r'));
  } catch (cause) {
    const error = cause as NodeJS.ErrnoException;
    if (SHORTAGES.has(error.code)) return error;
  }
  return undefined;
}
