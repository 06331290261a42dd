/** How long a flush waits for debug information. */
import type { DebugInfoClient } from './debug-info-client.ts';
import type { DebugInfoFile } from './debug-info-file.ts';
import type { Patience, Waiting } from './messages.ts';

/** Left to a flush after somebody has asked to stop. */
const HURRIED_MS = 5_000;
/** A wait that is shorter is not worth a word. */
const TELL_AFTER_MS = 1_000;

export class DebugInfoWait {
  readonly #client: DebugInfoClient;
  readonly #tell: (waiting: Waiting) => void;
  readonly #hurriers = new Set<() => void>();
  #patience: Patience;

  constructor(client: DebugInfoClient, patience: Patience, tell: (waiting: Waiting) => void) {
    this.#client = client;
    this.#patience = patience;
    this.#tell = tell;
  }

  /** Somebody wants to go. */
  hurry(): void {
    const { namesMs } = this.#patience;
    this.#patience = { namesMs: Math.min(namesMs, HURRIED_MS), downloadsMs: 0 };
    for (const hurrier of this.#hurriers) hurrier();
  }

  /**
   * Resolves when the files' questions are answered, or are not waited for any longer.
   * @param frames of all samples that names are wanted for
   */
  async for(files: ReadonlySet<DebugInfoFile>, frames: number): Promise<void> {
    const asked = [...files];
    if (!asked.every((file) => file.isSettled)) await this.#answers(asked, frames);
    for (const file of asked) file.flushed(this.#client.rests(file));
  }

  async #answers(asked: readonly DebugInfoFile[], frames: number): Promise<void> {
    const tell = setTimeout(() => {
      this.#tell({ files: asked.length, downloads: this.#client.downloads });
    }, TELL_AFTER_MS);
    try {
      const isInTime = await this.#within(
        ({ namesMs }) => namesMs,
        this.#client.ask(asked, frames),
      );
      // A download may have ended as soon as it was told of.
      if (!isInTime || !asked.some((file) => file.pending || file.questions > 0)) return;
      await this.#within(({ downloadsMs }) => downloadsMs, this.#client.downloaded());
      await this.#within(({ namesMs }) => namesMs, this.#client.ask(asked, frames));
    } finally {
      clearTimeout(tell);
    }
  }

  /** Waits at most so long, and no longer than HURRIED_MS after a hurry. */
  async #within(limit: (patience: Patience) => number, work: Promise<void>): Promise<boolean> {
    const ms = limit(this.#patience);
    if (ms === 0) return false;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<false>((resolve) => {
      const hurrier = () => {
        clearTimeout(timer);
        timer = setTimeout(() => resolve(false), limit(this.#patience));
      };
      this.#hurriers.add(hurrier);
      hurrier();
      void work.then(() => this.#hurriers.delete(hurrier));
    });
    const isInTime = await Promise.race([work.then(() => true), late]);
    clearTimeout(timer);
    return isInTime;
  }
}
