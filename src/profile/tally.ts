/** The account of all samples: nothing may be lost without a reason. */
import type { Tally } from './model.ts';

export class TallyError extends Error {
  override readonly name = 'TallyError';
}

/**
 * @throws TallyError unless every sample that was taken is either exported or
 * lost for a named reason, and no other count exceeds the exported samples.
 */
export function checkTally(tally: Tally): void {
  const numbers = [
    tally.taken,
    tally.exported,
    tally.framesNamed,
    tally.framesUnnamed,
    ...Object.values(tally.lost),
    ...Object.values(tally.truncated),
    ...Object.values(tally.deferred),
    ...Object.values(tally.labelsLost),
    ...Object.values(tally.eventsLost),
    ...Object.values(tally.problems),
    ...Object.values(tally.timingMs),
  ];
  if (!numbers.every((value) => Number.isSafeInteger(value) && value >= 0)) {
    throw new TallyError('the tally holds something that is no count');
  }
  const lost = sumOf(tally.lost);
  if (tally.taken !== tally.exported + lost) {
    throw new TallyError(
      `${tally.taken} samples taken, but ${tally.exported} exported + ${lost} lost = ${tally.exported + lost}`,
    );
  }
  // A sample may lack labels for several reasons.
  const labelsLost = Math.max(0, ...Object.values(tally.labelsLost));
  const sums = {
    truncated: sumOf(tally.truncated),
    deferred: sumOf(tally.deferred),
    labelsLost,
  };
  for (const [part, sum] of Object.entries(sums)) {
    if (sum > tally.exported) {
      throw new TallyError(`${sum} samples ${part}, but only ${tally.exported} exported`);
    }
  }
}

/** The tally as names that say whose they are, with their counts, in a stable order. */
export function tallyEntries(tally: Tally): readonly (readonly [key: string, count: number])[] {
  const entries: [string, number][] = [
    ['taken', tally.taken],
    ['exported', tally.exported],
    ['frames_named', tally.framesNamed],
    ['frames_unnamed', tally.framesUnnamed],
  ];
  const parts = {
    lost: tally.lost,
    truncated: tally.truncated,
    deferred: tally.deferred,
    labels_lost: tally.labelsLost,
    events_lost: tally.eventsLost,
    problems: tally.problems,
    timing_ms: tally.timingMs,
  };
  for (const [part, counts] of Object.entries(parts)) {
    for (const reason of Object.keys(counts).sort()) {
      entries.push([`${part}.${reason}`, counts[reason]!]);
    }
  }
  return entries.map(([key, count]) => [`flametap.tally.${key}`, count]);
}

/** The tally as `key=value` lines, for formats that have only comments. */
export function tallyLines(tally: Tally): readonly string[] {
  return tallyEntries(tally).map(([key, count]) => `${key}=${count}`);
}

export function addCounts(
  target: Record<string, number>,
  source: Readonly<Record<string, number>>,
): void {
  for (const [key, count] of Object.entries(source)) {
    if (count > 0) target[key] = (target[key] ?? 0) + count;
  }
}

export function sumOf(counts: Readonly<Record<string, number>>): number {
  let sum = 0;
  for (const count of Object.values(counts)) sum += count;
  return sum;
}
