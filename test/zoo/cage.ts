/** Runs programs of others and ends all that they started. */
import { type ChildProcess, spawn } from 'node:child_process';
import { lstatSync, readdirSync, rmSync } from 'node:fs';
import { setPriority } from 'node:os';
import { join } from 'node:path';
import type { Surroundings, Trick } from './tricks.ts';

/** Of users without a name, above those that distributions give. */
export const FIRST_USER = 64_100;

/** How a program is to run. */
export interface Terms {
  readonly cwd: string;
  /** Undefined for root. */
  readonly user?: number | undefined;
  /** Nice value. */
  readonly nice?: number;
}

/** A running program with whatever it started: a process group of its own. */
export class Caged {
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;
  #output = '';

  constructor(command: readonly string[], { cwd, user, nice = 0 }: Terms) {
    const asUser =
      user === undefined
        ? []
        : ['setpriv', `--reuid=${user}`, `--regid=${user}`, '--clear-groups', '--'];
    const [program, ...args] = [...asUser, ...command];
    this.#child = spawn(program!, args, {
      cwd,
      detached: true,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    // Its children have it from there: they come later.
    if (nice !== 0 && this.#child.pid !== undefined) setPriority(this.#child.pid, nice);
    this.#child.stderr!.on('data', (chunk: Buffer) => {
      this.#output = (this.#output + chunk.toString()).slice(-500);
    });
    this.#ended = new Promise((resolve) => {
      this.#child.once('error', (error) => {
        this.#output += error.message;
        resolve();
      });
      this.#child.once('exit', () => resolve());
    });
  }

  get pid(): number {
    return this.#child.pid!;
  }

  /** Why it is not running any more; undefined while it is. */
  get failure(): string | undefined {
    const { exitCode, signalCode, spawnargs } = this.#child;
    if (exitCode === null && signalCode === null && !this.#output) return undefined;
    return `${spawnargs.join(' ').slice(0, 200)}: ${signalCode ?? exitCode} ${this.#output}`;
  }

  kill(): void {
    try {
      process.kill(-this.#child.pid!, 'SIGKILL');
    } catch {
      // The group is gone already.
    }
  }

  async stop(): Promise<void> {
    this.kill();
    await this.#ended;
    // Children that began while the group was ended.
    this.kill();
  }
}

/** All that runs: an interrupted run leaves nothing behind. */
export class Cages {
  readonly #running = new Set<Caged>();

  constructor() {
    process.once('exit', () => {
      for (const caged of this.#running) caged.kill();
    });
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      process.once(signal, () => process.exit(1));
    }
  }

  start(command: readonly string[], terms: Terms): Caged {
    const caged = new Caged(command, terms);
    this.#running.add(caged);
    return caged;
  }

  async stop(caged: Caged): Promise<void> {
    await caged.stop();
    this.#running.delete(caged);
  }

  async stopAll(): Promise<void> {
    await Promise.all([...this.#running].map((caged) => this.stop(caged)));
  }
}

/** @param seconds after which it ends by itself, whatever happens to us */
export function commandOf(
  { name, program = name, arguments: more }: Trick,
  surroundings: Surroundings,
  seconds: number,
): string[] {
  const path = join(surroundings.folder, program);
  return [path, String(seconds), ...(more?.(surroundings) ?? [])];
}

/** Perf maps that tricks have left in /tmp. */
export function sweepMaps(): void {
  for (const name of readdirSync('/tmp')) {
    if (!/^perf-\d+\.map$/.test(name)) continue;
    const path = join('/tmp', name);
    const owner = lstatSync(path, { throwIfNoEntry: false })?.uid;
    if (owner !== undefined && owner >= FIRST_USER) rmSync(path, { force: true });
  }
}
