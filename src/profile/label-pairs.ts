/** Labels of samples: those of their goroutines and those of their requests together. */
import type { RawLabels } from './aggregator.ts';
import type { Label } from './model.ts';

interface Labels {
  readonly sets: readonly (readonly Label[])[];
  readonly missing: readonly (string | undefined)[];
}

export interface PairedLabels {
  /** By number of a pair. */
  readonly sets: readonly (readonly Label[])[];
  readonly missing: readonly (readonly string[])[];
}

export function pairLabels(pairs: RawLabels, goroutines: Labels, contexts: Labels): PairedLabels {
  const sets: (readonly Label[])[] = [];
  const missing: (readonly string[])[] = [];
  for (let i = 0; i < pairs.length; i++) {
    const [goroutine, context] = [pairs.words[2 * i]!, pairs.words[2 * i + 1]!];
    sets.push([...(goroutines.sets[goroutine] ?? []), ...(contexts.sets[context] ?? [])]);
    const reasons = [goroutines.missing[goroutine], contexts.missing[context]];
    missing.push([...new Set(reasons.filter((reason) => reason !== undefined))]);
  }
  return { sets, missing };
}
