/** The ordinary loads, and whether what profiles say of them is so. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Caged, Cages } from './cage.ts';
import type { ReadSample, StackFrame } from './profiles.ts';

type Language = 'c' | 'go' | 'node';
const FUNCTIONS = ['alpha', 'beta', 'gamma'] as const;

interface Truth {
  /** As the profile names it: plain function to its name. */
  readonly functionOf: (frame: StackFrame) => string | undefined;
  /** May stand in a stack besides. */
  readonly isKnown: (frame: StackFrame) => boolean;
  /** Hex digits of the functions' ids; undefined = they have none. */
  readonly digits?: readonly string[];
}

const library = /\b(libc|ld-linux|libm|libstdc\+\+|libgcc|libpthread|libdl)[-.\w]*so|^\[vdso\]$/;
const GO_PACKAGE =
  /^(runtime|internal|context|sync|syscall|time|os|reflect)\b|^type:|^_rt0_|^main\.(main|serve)/;
/** The runtime's own assembly has names without a package. */
const GO_ASSEMBLY =
  /^(aeshashbody|callRet|cmpbody|countbody|gogo|gosave_systemstack_switch|indexbody|indexbytebody|memeqbody)$/;

const TRUTHS: Readonly<Record<Language, Truth>> = {
  c: {
    functionOf: ({ name }) => FUNCTIONS.find((one) => name.replace(/_$/, '') === one),
    isKnown: ({ name, module }) => /^(serve|main|_start)$/.test(name) || library.test(module),
    digits: ['11', '22', '33'],
  },
  go: {
    functionOf: ({ name }) => FUNCTIONS.find((one) => name === `main.${one}`),
    isKnown: ({ name, module }) =>
      GO_PACKAGE.test(name) || GO_ASSEMBLY.test(name) || module === '[vdso]',
    digits: ['44', '55', '66'],
  },
  node: {
    functionOf: ({ name, file }) => FUNCTIONS.find((one) => name === one && isOurs(file)),
    isKnown: ({ name, file, type, module }) =>
      type === 'v8js'
        ? !isOurs(file) || /^(serve|work|\(top level\)|\(anonymous\))$/.test(name)
        : library.test(module) || /node/.test(module) || (type === 'jit' && name === ''),
  },
};

const isOurs = (file: string): boolean => file.endsWith('steady.ts');

export interface Judged {
  /** Samples in each function. */
  readonly counts: Record<(typeof FUNCTIONS)[number], number>;
  samples: number;
  /** With the ids that they should have. */
  identified: number;
  /** Stacks that say what is not so, a few of them. */
  readonly wrong: string[];
  wrongCount: number;
  /** Frames without a name. */
  unnamed: number;
}

const nothing = (): Judged => ({
  counts: { alpha: 0, beta: 0, gamma: 0 },
  samples: 0,
  identified: 0,
  wrong: [],
  wrongCount: 0,
  unnamed: 0,
});

export class OrdinaryLoads {
  readonly #running: ReadonlyMap<Language, Caged>;
  /** Code without a map. */
  readonly victim: Caged;

  constructor(cages: Cages, programs: string, cwd: string, seconds: number) {
    const end = String(seconds);
    const start = (...command: string[]): Caged => cages.start(command, { cwd });
    this.#running = new Map([
      ['c', start(join(programs, 'steady'), end)],
      ['go', start(join(programs, 'steady-go'), end)],
      ['node', start(process.execPath, '--perf-basic-prof', join(programs, 'steady.ts'), end)],
    ]);
    this.victim = start(join(programs, 'victim'), end);
  }

  /** Undefined for processes that are none of these. */
  languageOf(pid: number): Language | undefined {
    for (const [language, { pid: own }] of this.#running) if (own === pid) return language;
    return undefined;
  }

  /** @throws Error when one is not running any more */
  check(): void {
    for (const { failure } of [...this.#running.values(), this.victim]) {
      if (failure) throw new Error(`an ordinary load ended: ${failure}`);
    }
  }

  /** Removes what they left in /tmp, once they have ended. */
  clean(): void {
    for (const { pid } of this.#running.values()) rmSync(`/tmp/perf-${pid}.map`, { force: true });
  }
}

export type Judgement = ReadonlyMap<Language, Judged>;

export class Judge {
  readonly #loads: OrdinaryLoads;
  readonly #judged = new Map<Language, Judged>();

  constructor(loads: OrdinaryLoads) {
    this.#loads = loads;
  }

  get judgement(): Judgement {
    return this.#judged;
  }

  add(samples: readonly ReadSample[]): void {
    for (const sample of samples) {
      const language = this.#loads.languageOf(sample.pid);
      if (!language) continue;
      const judged = this.#judged.get(language) ?? nothing();
      this.#judged.set(language, judged);
      judge(sample, TRUTHS[language], judged);
    }
  }
}

/** What stands for a function of a file without names, or of one that could not be read. */
const WITHOUT_NAME = /\+0x[0-9a-f]+$/;

function judge(sample: ReadSample, truth: Truth, judged: Judged): void {
  const { stack, count, traceId, spanId } = sample;
  judged.samples += count;
  const user = stack.filter(({ type }) => type !== 'kernel');
  let wrong: string | undefined;
  user.forEach((frame, at) => {
    if (truth.functionOf(frame)) {
      // It calls nothing: only a signal of the runtime may stand above it.
      const called = user[at - 1];
      if (called && truth.functionOf(called)) wrong ??= `${frame.name} called ${called.name}`;
    } else if (frame.type === 'marker') return;
    else if (frame.name === '') judged.unnamed += count;
    else if (!truth.isKnown(frame) && WITHOUT_NAME.test(frame.name)) judged.unnamed += count;
    else if (!truth.isKnown(frame)) wrong ??= `no such frame: ${frame.name} (${frame.type})`;
  });
  const named = user.map((frame) => truth.functionOf(frame)).find((one) => one !== undefined);
  if (named) judged.counts[named as 'alpha'] += count;
  const digits = named ? truth.digits?.[FUNCTIONS.indexOf(named as 'alpha')] : undefined;
  if (traceId || spanId) {
    const isOwn = digits && traceId === digits.repeat(16) && spanId === digits.repeat(8);
    // Between two functions the ids are those of the one that comes or went.
    const isSome = !named && truth.digits?.includes(traceId.slice(0, 2));
    if (isOwn) judged.identified += count;
    else if (!isSome) wrong ??= `${named} has trace ${traceId}, span ${spanId}`;
  }
  if (!wrong) return;
  judged.wrongCount += count;
  if (judged.wrong.length < 3) {
    judged.wrong.push(
      `${wrong}; ${user
        .map(({ name }) => name || '?')
        .join(' < ')
        .slice(0, 300)}`,
    );
  }
}

/** By chance this many standard deviations are never reached. */
const SIGMAS = 5;
/** Caches and clocks of a shared machine move shares by that much without anybody's fault. */
const DRIFT = 0.03;

/** What has changed between two judgements that chance does not explain; empty = nothing. */
export function changedShares(before: Judgement, after: Judgement): string[] {
  const changes: string[] = [];
  for (const [language, { counts: now }] of after) {
    const then = before.get(language)?.counts;
    if (!then) continue;
    const [all, allThen] = [now, then].map(({ alpha, beta, gamma }) => alpha + beta + gamma);
    if (!all || !allThen) continue;
    for (const name of FUNCTIONS) {
      const [share, expected] = [now[name] / all, then[name] / allThen];
      const spread = Math.sqrt(expected * (1 - expected) * (1 / all + 1 / allThen));
      if (Math.abs(share - expected) > SIGMAS * spread + DRIFT) {
        changes.push(
          `${language} ${name} ${(share * 100).toFixed(0)} % of ${all}, was ${(expected * 100).toFixed(0)} %`,
        );
      }
    }
  }
  return changes;
}
