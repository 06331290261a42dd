/**
 * Notices that the file has changed and hands over what is new. It looks at the
 * file every now and then, through all links: so it sees a file that was written in
 * place, replaced by another name, or swapped with its folder (Kubernetes points
 * the link `..data` of a ConfigMap elsewhere), on every file system.
 */
import { statSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import type { Loaded } from './load.ts';
import { ConfigError } from './problem.ts';
import type { Config } from './schema.ts';

/** A file that is being written is read when two looks at it were the same. */
const LOOK_INTERVAL_MS = 2_000;

export interface ReloadEvents {
  /** @param changed paths of the keys that differ, as in the file, such as `capture.hz`; never empty */
  onChange(next: Loaded, changed: readonly string[]): void;
  /** The file is wrong: what runs stays in force. Told once for each version of it, and at each signal. */
  onProblem(error: ConfigError): void;
  /** It was read at a signal and says what is in force already. */
  onSame?(): void;
}

export class Reloader {
  readonly #file: string;
  readonly #load: () => Loaded;
  readonly #events: ReloadEvents;
  #current: Loaded;
  /** What was read last. */
  #read: string;
  /** What was seen last. */
  #seen: string;
  #timer: NodeJS.Timeout | undefined;

  /** @param load reads all sources anew; @throws ConfigError */
  constructor(file: string, current: Loaded, load: () => Loaded, events: ReloadEvents) {
    this.#file = file;
    this.#current = current;
    this.#load = load;
    this.#events = events;
    this.#read = stamp(file);
    this.#seen = this.#read;
  }

  get current(): Loaded {
    return this.#current;
  }

  start(intervalMs = LOOK_INTERVAL_MS): void {
    this.#timer ??= setInterval(() => this.look(), intervalMs);
    this.#timer.unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** Reads the file when it is another than the one that was read, and has settled. */
  look(): void {
    const now = stamp(this.#file);
    const hasSettled = now === this.#seen;
    this.#seen = now;
    if (hasSettled && now !== this.#read) this.#reload();
  }

  /** At SIGHUP: reads it in any case. */
  reload(): void {
    this.#seen = stamp(this.#file);
    if (!this.#reload()) this.#events.onSame?.();
  }

  /** @returns whether there was something to tell */
  #reload(): boolean {
    this.#read = this.#seen;
    let next: Loaded;
    try {
      next = this.#load();
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      this.#events.onProblem(error);
      return true;
    }
    const changed = changedPaths(this.#current.config, next.config);
    this.#current = next;
    if (changed.length > 0) this.#events.onChange(next, changed);
    return changed.length > 0;
  }
}

/** Differs whenever the file may have. */
function stamp(file: string): string {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = statSync(file, { bigint: true });
    return `${dev}:${ino}:${size}:${mtimeNs}:${ctimeNs}`;
  } catch (error) {
    return error instanceof Error && 'code' in error ? String(error.code) : 'unreadable';
  }
}

/** Paths of the values that differ; exporters and maps as `exporters.0`, `resource.attributes`. */
export function changedPaths(before: Config, after: Config): string[] {
  const { exporters: old, ...oldRest } = before;
  const { exporters: fresh, ...freshRest } = after;
  const count = Math.max(old.length, fresh.length);
  const numbers = Array.from({ length: count }, (_, i) => i);
  return [
    ...differences(oldRest, freshRest, []),
    ...numbers.filter((i) => !isDeepStrictEqual(old[i], fresh[i])).map((i) => `exporters.${i}`),
  ];
}

function differences(before: object, after: object, above: readonly string[]): string[] {
  return Object.entries(before).flatMap(([name, value]: [string, unknown]) => {
    const other = (after as Readonly<Record<string, unknown>>)[name];
    const path = [...above, name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)];
    // Maps have names of their makers, not of the schema.
    const isSection =
      isObject(value) && isObject(other) && path.join('.') !== 'resource.attributes';
    if (isSection) return differences(value, other, path);
    return isDeepStrictEqual(value, other) ? [] : [path.join('.')];
  });
}

const isObject = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
