/** The loads: what the machine does while profilers are measured. */
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { buildProgram, type Variant } from '../harness/programs.ts';

/** A command that runs until it is killed. */
type Command = readonly string[];

export interface Load {
  readonly name: string;
  readonly about: string;
  /** Built or found when the load is started. */
  readonly commands: () => readonly Command[];
}

const FOREVER = '100000';
const file = (name: string): string => join(import.meta.dirname, 'loads', name);
const repeated = (count: number, command: Command): Command[] => Array(count).fill(command);

const nodeLoad = (idleMs: number): Command => [
  process.execPath,
  file('node-load.ts'),
  String(idleMs),
];
const pythonLoad = (idle: number): Command => ['python3', file('python_load.py'), String(idle)];
const goLoad = (goroutines: number): Command => [
  buildProgram('deep-go'),
  FOREVER,
  '12',
  String(goroutines),
];
const compileLoop: Command = [
  'sh',
  '-c',
  `while :; do gcc -O1 -c ${file('compiled.c')} -o /dev/null; done`,
];

/**
 * The C chain in two threads: (30 x rounds) frames and the roots'.
 * @param walkKib memory that the leaf walks between two ticks, so that the
 *   profiler finds nothing of its own in the caches
 */
export const chainCommand = (rounds: number, walkKib: number, variant: Variant = {}): Command => [
  buildProgram('chain', variant),
  FOREVER,
  '2',
  String(rounds),
  String(walkKib),
];

/** Larger than the second-level caches of today's cores. */
export const COLD_WALK_KIB = 8192;

const mix = (): Command[] => [
  chainCommand(1, 0),
  goLoad(4),
  nodeLoad(0),
  pythonLoad(0),
  compileLoop,
];

export const LOADS: readonly Load[] = [
  { name: 'idle', about: 'nothing', commands: () => [] },
  { name: 'c', about: 'C, 33 frames, no frame pointers', commands: () => [chainCommand(1, 0)] },
  {
    name: 'c-cold',
    about: 'the same, walking 8 MiB between ticks',
    commands: () => [chainCommand(1, COLD_WALK_KIB)],
  },
  { name: 'go', about: 'Go: recursion, JSON, garbage', commands: () => [goLoad(4)] },
  { name: 'node', about: 'Node: JSON, regexp, crypto', commands: () => repeated(2, nodeLoad(0)) },
  {
    name: 'compile',
    about: 'gcc, many short processes',
    commands: () => [compileLoop, compileLoop],
  },
  { name: 'mix', about: 'C, Go, Node, Python and gcc', commands: mix },
  {
    name: 'sleepers',
    about: '200 mostly sleeping processes and the mix',
    commands: () => [
      ...repeated(120, [buildProgram('sleeper'), FOREVER, '1000']),
      ...repeated(60, pythonLoad(1)),
      ...repeated(20, nodeLoad(1000)),
      ...mix(),
    ],
  },
];

export function loadNamed(name: string): Load {
  const load = LOADS.find((one) => one.name === name);
  if (load === undefined) throw new Error(`no load is called ${name}`);
  return load;
}

/** A running load. */
export class RunningLoad {
  readonly #children: ChildProcess[];
  #failure: Error | undefined;
  // an interrupted benchmark leaves nothing running
  readonly #atExit = (): void => this.#kill();

  constructor(commands: readonly Command[]) {
    // a process group each, so that what they started is stopped too
    this.#children = commands.map(([program, ...args]) => {
      const child = spawn(program!, args, { stdio: 'ignore', detached: true });
      child.on('error', (error) => {
        this.#failure = error;
      });
      return child;
    });
    process.once('exit', this.#atExit);
  }

  /** @throws Error when a part of the load is not running any more. */
  check(): void {
    if (this.#failure) throw this.#failure;
    for (const child of this.#children) {
      if (child.exitCode !== null) {
        throw new Error(`load ended with ${child.exitCode}: ${child.spawnargs.join(' ')}`);
      }
    }
  }

  async stop(): Promise<void> {
    const ended = this.#children.map(
      (child) => new Promise((resolve) => child.once('close', resolve)),
    );
    this.#kill();
    process.off('exit', this.#atExit);
    await Promise.race([Promise.all(ended), new Promise((resolve) => setTimeout(resolve, 2000))]);
  }

  #kill(): void {
    for (const child of this.#children) {
      try {
        if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
      } catch {
        // the group is gone already
      }
    }
  }
}
