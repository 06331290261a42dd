/** What changes all the time while the agent runs. */
import { chownSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Caged, type Cages, FIRST_USER } from '../zoo/cage.ts';
import type { Mood, Receiver } from './receiver.ts';

/** Programs of the zoo that start, load, replace and end things, at an ordinary pace. */
const PROGRAMS = [
  'fork-storm',
  'exec-storm',
  'dlopen-loop',
  'in-place',
  'unnamed',
  'clones',
] as const;
/** Below the ordinary loads: they are to be sampled too. */
const NICE = 5;

/** Starts each program in a folder of its own; each ends after so many seconds and is started again. */
export class Churn {
  readonly #cages: Cages;
  readonly #programs: string;
  readonly #folder: string;
  readonly #seconds: number;
  #running: Caged[] = [];
  #round = 0;

  constructor(cages: Cages, programs: string, folder: string, seconds: number) {
    this.#cages = cages;
    this.#programs = programs;
    this.#folder = folder;
    this.#seconds = seconds;
  }

  /** Ends what runs and begins anew: the programs themselves come and go too. */
  async renew(): Promise<void> {
    await Promise.all(this.#running.map((caged) => this.#cages.stop(caged)));
    const round = this.#round++;
    this.#running = PROGRAMS.map((name) => {
      const cwd = join(this.#folder, `churn-${name}-${round % 2}`);
      mkdirSync(cwd, { recursive: true });
      chownSync(cwd, FIRST_USER, FIRST_USER);
      const command = [join(this.#programs, name), String(this.#seconds)];
      return this.#cages.start(command, { cwd, user: FIRST_USER, nice: NICE });
    });
  }
}

/** Mostly well; then away, mute, refusing and cutting, a sixth of the time each other time. */
const MOODS: readonly Mood[] = [
  'well',
  'well',
  'away',
  'well',
  'mute',
  'well',
  'refusing',
  'cutting',
];

/** @param step counts up once in a while */
export const moodAt = (step: number): Mood => MOODS[step % MOODS.length]!;

export async function flap(receiver: Receiver, step: number): Promise<void> {
  await receiver.become(moodAt(step));
}

const CPUS = '/sys/devices/system/cpu';

/** Takes the last CPU offline and back. Only where nobody else measures: see --hotplug. */
export class Hotplug {
  readonly #switch: string;

  /** @throws Error when no CPU can go */
  constructor() {
    const numbers = readdirSync(CPUS)
      .filter((name) => /^cpu\d+$/.test(name) && existsSync(join(CPUS, name, 'online')))
      .map((name) => Number(name.slice(3)));
    if (numbers.length === 0) throw new Error('no CPU of this machine can be taken offline');
    this.#switch = join(CPUS, `cpu${Math.max(...numbers)}`, 'online');
    process.once('exit', () => this.set(true));
  }

  set(isOnline: boolean): void {
    writeFileSync(this.#switch, isOnline ? '1' : '0');
  }
}
