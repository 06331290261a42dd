/** Judges a run of the zoo: limits, names and ids of the ordinary loads, and sums. */
import { changedShares, Judge, type Judgement } from './ordinary.ts';
import { type ReadProfile, readProfiles } from './profiles.ts';
import { FORBIDDEN, type Phase, type Run } from './zoo.ts';

export interface Limits {
  /** CPU time of the agent, of what it takes in a calm. */
  readonly cpuRatio: number;
  /** Bytes beyond what it has in a calm. */
  readonly memory: number;
  /** CPU seconds while it begins, beyond a calm's: what a new program may cost once. */
  readonly beginning: number;
}

/** What one process may make the agent cost. */
export const SINGLE: Limits = { cpuRatio: 1.5, memory: 32 << 20, beginning: 4 };
/** What all of them together may. */
export const TOGETHER: Limits = { cpuRatio: 4, memory: 96 << 20, beginning: 20 };

export interface Row {
  readonly name: string;
  readonly cpuRatio: number;
  readonly memoryDelta: number;
  /** CPU seconds while it began, beyond what a calm takes. */
  readonly beginning: number;
  /** Bytes, at most. */
  readonly memory: number;
  /** Of the faults, those that no load of the machine excuses. */
  readonly wrong: readonly string[];
  /** Of all processes but the ordinary loads. */
  readonly samples: number;
  readonly lost: Readonly<Record<string, number>>;
  /** What the tally says was refused, beyond what a calm has too. */
  readonly problems: Readonly<Record<string, number>>;
  /** Empty = well. */
  readonly faults: readonly string[];
}

export interface Verdict {
  readonly rows: readonly Row[];
  /** Of the run as a whole. */
  readonly faults: readonly string[];
  readonly taken: number;
  readonly exported: number;
  readonly lost: number;
}

/** What profiles say of a phase. */
class PhaseReading {
  readonly judge: Judge;
  readonly lost: Record<string, number> = {};
  readonly problems: Record<string, number> = {};
  readonly forbidden = new Set<string>();
  samples = 0;

  constructor(run: Run) {
    this.judge = new Judge(run.loads);
  }

  add(profile: ReadProfile, run: Run): void {
    this.judge.add(profile.samples);
    for (const { pid, count, stack } of profile.samples) {
      if (!run.loads.languageOf(pid)) this.samples += count;
      for (const { name } of stack) if (FORBIDDEN.test(name)) this.forbidden.add(name);
    }
    for (const [key, count] of Object.entries(profile.tally)) {
      const [, part, reason] = /^(lost|events_lost|labels_lost|problems)\.(.*)$/.exec(key) ?? [];
      if (!part || !reason) continue;
      const isLost = part === 'lost' || part === 'events_lost';
      const target = isLost ? this.lost : this.problems;
      const name = part === 'labels_lost' ? `labels: ${reason}` : reason;
      target[name] = (target[name] ?? 0) + count;
    }
  }
}

/** Reads all profiles of a run. */
export function judgeRun(run: Run, single = SINGLE, together = TOGETHER): Verdict {
  const readings = new Map<Phase, PhaseReading>();
  let [taken, exported, lost, counted] = [0, 0, 0, 0];
  for (const profile of readProfiles(run.profiles)) {
    taken += profile.tally.taken ?? 0;
    exported += profile.tally.exported ?? 0;
    for (const [key, count] of Object.entries(profile.tally)) {
      if (key.startsWith('lost.')) lost += count;
    }
    counted += profile.samples.reduce((sum, { count }) => sum + count, 0);
    const phase = phaseOf(profile, run.phases);
    if (!phase) continue;
    const reading = readings.get(phase) ?? new PhaseReading(run);
    readings.set(phase, reading);
    reading.add(profile, run);
  }
  const rows = run.phases.map((phase, at) => {
    const limits = phase.name === 'all' ? together : single;
    return judgePhase(phase, calmAround(run.phases, at), limits, readings);
  });
  const faults = [
    ...(run.death ? [`the agent did not live through it: ${run.death}`] : []),
    ...(run.exitCode === 0 ? [] : [`the agent ended with ${run.agent.ended()}`]),
    ...(taken === exported + lost ? [] : [`${taken} taken, ${exported} exported, ${lost} lost`]),
    ...(exported === counted ? [] : [`${exported} exported, ${counted} in the profiles`]),
    ...kernelFaults(run, taken),
    ...errorsOf(run),
  ];
  return { rows, faults, taken, exported, lost };
}

/** Whatever the profile is of for the most part. */
function phaseOf({ from, to }: ReadProfile, phases: readonly Phase[]): Phase | undefined {
  const middle = (from + to) / 2;
  return phases.find((phase) => middle >= phase.from && middle <= phase.to);
}

/** The nearest calms before and after. */
function calmAround(phases: readonly Phase[], at: number): Phase[] {
  const isCalm = ({ name }: Phase): boolean => name === 'calm';
  const before = phases.slice(0, at).findLast(isCalm);
  const after = phases.slice(at + 1).find(isCalm);
  return [before, after].filter((phase) => phase !== undefined);
}

function judgePhase(
  phase: Phase,
  calms: readonly Phase[],
  limits: Limits,
  readings: ReadonlyMap<Phase, PhaseReading>,
): Row {
  const mean = (of: (calm: Phase) => number): number =>
    calms.reduce((sum, calm) => sum + of(calm), 0) / (calms.length || 1);
  const cpuRatio = calms.length > 0 ? phase.cpu / mean(({ cpu }) => cpu) : 1;
  // Memory that an earlier trick left behind is its own fault, and seen in the calms.
  const memoryDelta = calms.length > 0 ? phase.memory - mean(({ memory }) => memory) : 0;
  const reading = readings.get(phase);
  const wrong = reading ? wrongNames(reading) : [];
  const faults = [...phase.failures, ...wrong];
  const isCalm = phase.name === 'calm';
  if (!isCalm && cpuRatio >= limits.cpuRatio) faults.push(`CPU x ${cpuRatio.toFixed(2)}`);
  if (!isCalm && memoryDelta >= limits.memory) faults.push('memory');
  if (phase.beginning >= limits.beginning) {
    faults.push(`${phase.beginning.toFixed(1)} CPU seconds at first`);
  }
  if (!reading) faults.push('no profile');
  else faults.push(...missing(reading, calms, readings));
  return {
    name: phase.name,
    cpuRatio,
    memoryDelta,
    beginning: phase.beginning,
    memory: phase.memory,
    wrong,
    samples: reading?.samples ?? 0,
    lost: reading?.lost ?? {},
    problems: reading?.problems ?? {},
    faults,
  };
}

/** Names, calls and ids that are not so. */
function wrongNames({ forbidden, judge: { judgement } }: PhaseReading): string[] {
  const names = forbidden.size > 0 ? [`names ${[...forbidden].slice(0, 3)}`] : [];
  const frames = [...judgement]
    .filter(([, { wrongCount }]) => wrongCount > 0)
    .map(
      ([language, { wrongCount, samples, wrong }]) =>
        `${language}: ${wrongCount} of ${samples} wrong: ${wrong[0]}`,
    );
  return [...names, ...frames];
}

/** What is not there, or not as much as in a calm: a machine without time for the loads excuses it. */
function missing(
  reading: PhaseReading,
  calms: readonly Phase[],
  readings: ReadonlyMap<Phase, PhaseReading>,
): string[] {
  const faults: string[] = [];
  const { judgement } = reading.judge;
  for (const language of ['c', 'go', 'node'] as const) {
    const judged = judgement.get(language);
    if (!judged) faults.push(`${language} has no samples`);
    // What Node compiles has its name later.
    else if (language !== 'node' && judged.unnamed > judged.samples / 10) {
      faults.push(
        `${language}: ${judged.unnamed} frames of ${judged.samples} samples have no name`,
      );
    }
  }
  for (const calm of calms) {
    const before = readings.get(calm)?.judge.judgement;
    if (before) faults.push(...changedShares(before, judgement), ...lostIds(before, judgement));
  }
  return [...new Set(faults)];
}

/** Ids that were there in a calm and are not now. */
function lostIds(before: Judgement, after: Judgement): string[] {
  const share = (judgement: Judgement, language: 'c' | 'go'): number => {
    const judged = judgement.get(language);
    return judged && judged.samples > 0 ? judged.identified / judged.samples : 1;
  };
  return (['c', 'go'] as const)
    .filter((language) => share(after, language) < share(before, language) - 0.05)
    .map((language) => `${language}: ids of ${(share(after, language) * 100).toFixed(0)} % only`);
}

/** Whether the tallies have every sample that the kernel side has counted. */
function kernelFaults({ kernel }: Run, taken: number): string[] {
  if (!kernel) return [];
  const { samples, more } = kernel;
  const isSame = taken >= samples && taken <= samples + more;
  return isSame
    ? []
    : [`the kernel counted ${samples} samples and up to ${more} more, the tallies ${taken}`];
}

/** What the agent itself calls an error. */
function errorsOf({ agent }: Run): string[] {
  const texts = agent.log
    .filter(({ level }) => level >= 50)
    .map(({ msg, err }) => `${msg} ${JSON.stringify(err ?? '')}`);
  return [...new Set(texts)].slice(0, 5).map((text) => `the agent logs: ${text.slice(0, 300)}`);
}
