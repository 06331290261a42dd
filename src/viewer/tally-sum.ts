import type { Tally } from '../profile/model.ts';

/** Tallies of several profiles as one. */
export function sumTallies(tallies: readonly Tally[]): Tally {
  const counts = (
    key: 'lost' | 'truncated' | 'deferred' | 'labelsLost' | 'eventsLost' | 'problems' | 'timingMs',
  ) => {
    const all: Record<string, number> = {};
    for (const tally of tallies) {
      for (const [reason, count] of Object.entries(tally[key])) {
        all[reason] = (all[reason] ?? 0) + count;
      }
    }
    return all;
  };
  const total = (key: 'taken' | 'exported' | 'framesNamed' | 'framesUnnamed') =>
    tallies.reduce((all, tally) => all + tally[key], 0);
  return {
    taken: total('taken'),
    exported: total('exported'),
    lost: counts('lost'),
    truncated: counts('truncated'),
    deferred: counts('deferred'),
    labelsLost: counts('labelsLost'),
    framesNamed: total('framesNamed'),
    framesUnnamed: total('framesUnnamed'),
    eventsLost: counts('eventsLost'),
    problems: counts('problems'),
    timingMs: counts('timingMs'),
  };
}
