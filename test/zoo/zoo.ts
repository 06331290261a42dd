/** The zoo: ordinary loads, an agent that watches them, and tricks, one at a time and all at once. */
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Counters, samplerCounters } from '../bench/meter.ts';
import { type RunningAgent, startAgent } from '../harness/agent.ts';
import { pause } from '../harness/record.ts';
import { type Caged, Cages, commandOf, FIRST_USER, sweepMaps } from './cage.ts';
import { OrdinaryLoads } from './ordinary.ts';
import { installPrograms } from './programs.ts';
import type { Surroundings, Trick } from './tricks.ts';
import { cpuSeconds, startTicks, type Watched, watch } from './watch.ts';

export interface Plan {
  readonly tricks: readonly Trick[];
  /** Between profiles. */
  readonly intervalSeconds: number;
  /** Before anything counts: files are read, tables are built. */
  readonly warmUpSeconds: number;
  /** Of each calm and each trick. */
  readonly windowSeconds: number;
  /** After a trick has begun: what it may cost once, ahead, is counted by itself. */
  readonly settleSeconds: number;
  /** It goes on for as long as this while the trick still costs more than it may: what is ahead is used up slowly too. */
  readonly longestSettleSeconds: number;
  /** With every trick at once; 0 = not. */
  readonly togetherSeconds: number;
  /** Sample nothing but what the zoo starts: others work on this machine. */
  readonly isAlone: boolean;
  /** Tricks one by one. */
  readonly isOneByOne: boolean;
  /** A phase lasts until a profile of it has been written, however slow the machine is. */
  readonly awaitsProfiles: boolean;
}

/** A while of the run. */
export interface Phase extends Watched {
  /** `calm`, the name of a trick, or `all`. */
  readonly name: string;
  /** CPU seconds while it began, beyond what a calm takes. */
  readonly beginning: number;
  /** Tricks that were not running at the end, with their words. */
  readonly failures: readonly string[];
}

export interface Run {
  readonly phases: readonly Phase[];
  /** Of OTLP requests. */
  readonly profiles: string;
  readonly loads: OrdinaryLoads;
  readonly agent: RunningAgent;
  /** Why the agent did not live through it; undefined when it did. */
  readonly death: string | undefined;
  readonly exitCode: number | null;
  /** What the kernel side had counted shortly before the end; undefined when the agent was gone by then. */
  readonly kernel: KernelCount | undefined;
}

export interface KernelCount {
  /** Samples, sent or lost. */
  readonly samples: number;
  /** Most that can have come until the end. */
  readonly more: number;
}

/** The agent's default. */
const HZ = 99;
/** Counters of bpf/record.h that make up the samples taken. */
const COUNTED = ['sent', 'deferred', 'ring_full', 'no_ring', 'no_scratch', 'swallowed'];
const CALM = 'calm';
/** After a trick has ended. */
const PAUSE_MS = 2_000;
/** A tenth of the share of a usual thread. */
const CROWD_NICE = 10;
/** Of a profile, where a phase waits for one: a multiple of what is usual, for a machine with far too much to do. */
const LONGEST_FLUSH_MS = 60_000;
/** Tricks between two calms. */
const TRICKS_AT_ONCE = 5;
/** In which the beginning is looked at. */
const SETTLING_MS = 10_000;
/** Of a calm: what costs more has not settled. */
const SETTLED_RATIO = 1.4;
const SECRET_NAME = 'zoo_secret_of_root';

export class Zoo {
  readonly folder = mkdtempSync(join(tmpdir(), 'zoo-'));
  readonly #plan: Plan;
  readonly #tell: (line: string) => void;
  readonly #phases: Phase[] = [];
  readonly #cages = new Cages();
  #folders = 0;

  /** @param tell gets a line for each phase as it ends */
  constructor(plan: Plan, tell: (line: string) => void) {
    this.#plan = plan;
    this.#tell = tell;
  }

  async run(): Promise<Run> {
    const { folder } = this;
    chmodSync(folder, 0o755);
    const programs = join(folder, 'programs');
    const profiles = join(folder, 'profiles');
    mkdirSync(programs);
    installPrograms(programs);
    const secretMap = join(folder, 'secret.map');
    writeFileSync(secretMap, `100000000000 1000 ${SECRET_NAME}\n`, { mode: 0o600 });
    const agent = await startAgent(folder, {
      profile: { interval: `${this.#plan.intervalSeconds}s` },
      ...(this.#plan.isAlone && { capture: { scope: { include: [`pid=${process.pid}`] } } }),
      // What is kept for the page would grow all the time.
      viewer: { listen: '127.0.0.1:0', retention: '1m', max_bytes: '16MiB' },
      exporters: [{ files: { directory: profiles, format: 'otlp' } }],
    });
    // After the agent: a scope by pid has what is started from then on.
    const loads = new OrdinaryLoads(this.#cages, programs, folder, this.#seconds());
    const started = startTicks(agent.pid);
    const surroundings: Surroundings = {
      folder: programs,
      port: Number(new URL(agent.url).port),
      secretMap,
      victimPid: loads.victim.pid,
    };
    let death: string | undefined;
    let counters: Counters | undefined;
    let countedAt = 0;
    try {
      await pause(this.#plan.warmUpSeconds * 1000);
      await this.#all(agent, surroundings);
      loads.check();
      if (startTicks(agent.pid) !== started) death = 'another process has its pid';
      countedAt = performance.now();
      counters = samplerCounters(agent.pid);
    } catch (error) {
      death = agent.ended() ?? (error as Error).message;
    }
    await this.#cages.stopAll();
    loads.clean();
    sweepMaps();
    const exitCode = await agent.stop();
    const seconds = (performance.now() - countedAt) / 1000;
    const kernel = counters && {
      samples: COUNTED.reduce((sum, reason) => sum + (counters[reason] ?? 0), 0),
      more: Math.ceil((seconds + 1) * HZ * cpus().length),
    };
    writeFileSync(
      join(folder, 'agent.log'),
      agent.log.map((line) => JSON.stringify(line)).join('\n'),
    );
    return { phases: this.#phases, profiles, loads, agent, death, exitCode, kernel };
  }

  /** Removes all that was written. */
  clean(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }

  async #all(agent: RunningAgent, surroundings: Surroundings): Promise<void> {
    const { tricks, isOneByOne, togetherSeconds } = this.#plan;
    await this.#calm(agent);
    for (const [at, trick] of isOneByOne ? tricks.entries() : []) {
      await this.#with([trick], agent, surroundings, trick.name, this.#plan.windowSeconds);
      if (at % TRICKS_AT_ONCE === TRICKS_AT_ONCE - 1) await this.#calm(agent);
    }
    if (togetherSeconds === 0) return;
    await this.#with(tricks, agent, surroundings, 'all', togetherSeconds);
    await this.#calm(agent);
  }

  async #calm(agent: RunningAgent): Promise<void> {
    this.#add({
      name: CALM,
      beginning: 0,
      failures: [],
      ...(await this.#watch(agent, this.#plan.windowSeconds)),
    });
  }

  async #with(
    tricks: readonly Trick[],
    agent: RunningAgent,
    surroundings: Surroundings,
    name: string,
    seconds: number,
  ): Promise<void> {
    const { settleSeconds, longestSettleSeconds } = this.#plan;
    const caged: Caged[] = [];
    // What they do to the agent is of interest, not that 60 busy threads leave it no CPU.
    const nice = tricks.length > 1 ? CROWD_NICE : 0;
    const before = cpuSeconds(agent.pid);
    const began = performance.now();
    try {
      for (const trick of tricks) {
        const cwd = join(this.folder, `cage-${this.#folders++}`);
        // Each has an account of its own: what one has used up says nothing of the next.
        const user = trick.asRoot ? undefined : FIRST_USER + this.#folders;
        mkdirSync(cwd);
        if (user !== undefined) chownSync(cwd, user, user);
        const command = commandOf(
          trick,
          surroundings,
          Math.ceil(seconds + 2 * longestSettleSeconds + 30 + LONGEST_FLUSH_MS / 1000),
        );
        caged.push(this.#cages.start(command, { cwd, user, nice }));
      }
      await pause(settleSeconds * 1000);
      if (tricks.length === 1) await this.#settle(agent);
      const usual = (this.#calmCpu * (performance.now() - began)) / 1000;
      const beginning = Math.max(0, cpuSeconds(agent.pid) - before - usual);
      const watched = await this.#watch(agent, seconds);
      const failures = caged.flatMap(({ failure }) => failure ?? []);
      this.#add({ name, beginning, failures, ...watched });
    } finally {
      await Promise.all(caged.map((one) => this.#cages.stop(one)));
      sweepMaps();
    }
    await pause(PAUSE_MS);
  }

  get #calmCpu(): number {
    return this.#phases.findLast(({ name }) => name === CALM)?.cpu ?? 0;
  }

  /** Until what the trick has ahead is used up. */
  async #settle(agent: RunningAgent): Promise<void> {
    const { settleSeconds, longestSettleSeconds } = this.#plan;
    const end = performance.now() + (longestSettleSeconds - settleSeconds) * 1000;
    while (performance.now() < end) {
      const before = cpuSeconds(agent.pid);
      await pause(SETTLING_MS);
      const cpu = (cpuSeconds(agent.pid) - before) / (SETTLING_MS / 1000);
      if (cpu < this.#calmCpu * SETTLED_RATIO) return;
    }
  }

  async #watch(agent: RunningAgent, seconds: number): Promise<Watched> {
    const written = () => agent.log.filter(({ msg }) => msg === 'profile').length;
    // The first that comes began before.
    const enough = written() + 2;
    const watched = await watch(agent.pid, seconds);
    if (!this.#plan.awaitsProfiles) return watched;
    const end = performance.now() + LONGEST_FLUSH_MS;
    while (written() < enough) {
      const death = agent.ended();
      if (death) throw new Error(death);
      if (performance.now() > end) throw new Error('no profile for a minute');
      await pause(100);
    }
    return { ...watched, to: Date.now() };
  }

  #add(phase: Phase): void {
    this.#phases.push(phase);
    const { name, cpu, memory, beginning, failures } = phase;
    const words = [
      `${(cpu * 100).toFixed(2)} % of a CPU`,
      `${(memory / 2 ** 20).toFixed(0)} MiB`,
      `${beginning.toFixed(2)} s at first`,
    ];
    this.#tell(`${name}: ${[...words, ...failures].join(', ')}`);
  }

  /** Longer than the whole run: the loads end by themselves. */
  #seconds(): number {
    const { tricks, warmUpSeconds, windowSeconds, longestSettleSeconds, togetherSeconds } =
      this.#plan;
    const each = windowSeconds * 1.5 + 2 * longestSettleSeconds;
    return Math.ceil(300 + warmUpSeconds + tricks.length * each + togetherSeconds * 2);
  }
}

/** Names that may be in no profile: what only root may read, and what others wrote of a process. */
export const FORBIDDEN = new RegExp(`${SECRET_NAME}|^zoo_foreign_`);
