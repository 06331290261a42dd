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
import { type Config, schema } from './schema.ts';
import { camelCase, keysOf } from './setting.ts';

/** A file that is being written is read when two looks at it were the same. */
const LOOK_INTERVAL_MS = 2_000;

export interface ReloadEvents {
  /** @param changed paths of the keys that differ, as in the file, such as `capture.hz`; never empty */
  onChange(next: Loaded, changed: readonly string[]): void;
  /** The file is wrong: what runs stays in force. Told once for each version of it, and at each signal. */
  onProblem(error: ConfigError): void;
  /** It says what is in force already, and was read at a signal or was wrong before. */
  onSame?(): void;
}

export class Reloader {
  readonly #file: string;
  readonly #load: () => Loaded;
  readonly #events: ReloadEvents;
  #current: Loaded;
  /** What was read last; at first nothing: it may have changed since it was loaded. */
  #read = '';
  /** What was seen last. */
  #seen: string;
  #wasBad = false;
  #timer: NodeJS.Timeout | undefined;

  /** @param load reads all sources anew; @throws ConfigError */
  constructor(file: string, current: Loaded, load: () => Loaded, events: ReloadEvents) {
    this.#file = file;
    this.#current = current;
    this.#load = load;
    this.#events = events;
    this.#seen = stamp(file);
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
    this.#reload(true);
  }

  #reload(isAsked = false): void {
    this.#read = this.#seen;
    let next: Loaded;
    try {
      next = this.#load();
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      this.#wasBad = true;
      this.#events.onProblem(error);
      return;
    }
    const changed = changedPaths(this.#current.config, next.config);
    this.#current = next;
    if (changed.length > 0) this.#events.onChange(next, changed);
    else if (isAsked || this.#wasBad) this.#events.onSame?.();
    this.#wasBad = false;
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

/** Paths of the keys that differ; exporters as a whole each: `exporters.0`. */
export function changedPaths(before: Config, after: Config): string[] {
  const keys = [...keysOf(schema)].map(([path]) => path);
  const count = Math.max(before.exporters.length, after.exporters.length);
  const numbers = Array.from({ length: count }, (_, i) => i);
  return [
    ...keys
      .filter((path) => !isDeepStrictEqual(valueAt(before, path), valueAt(after, path)))
      .map((path) => path.join('.')),
    ...numbers
      .filter((i) => !isDeepStrictEqual(before.exporters[i], after.exporters[i]))
      .map((i) => `exporters.${i}`),
  ];
}

function valueAt(config: Config, path: readonly string[]): unknown {
  return path.reduce(
    (value: unknown, name) => (value as Readonly<Record<string, unknown>>)[camelCase(name)],
    config,
  );
}
