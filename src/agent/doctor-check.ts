/** What one look of the doctor says. */
export interface Check {
  /** Stable, for scripts. */
  readonly id: string;
  readonly title: string;
  /** missing = profiling cannot work; warn = it works with less. */
  readonly state: 'ok' | 'warn' | 'missing';
  /** What was found. */
  readonly detail: string;
  /** What mends it, '' = nothing to mend. */
  readonly fix: string;
}

type Verdict = Omit<Check, 'id' | 'title'>;

export const ok = (detail: string): Verdict => ({ state: 'ok', detail, fix: '' });
export const warn = (detail: string, fix: string): Verdict => ({ state: 'warn', detail, fix });
export const missing = (detail: string, fix: string): Verdict => ({
  state: 'missing',
  detail,
  fix,
});

export function check(id: string, title: string, verdict: Verdict): Check {
  return { id, title, ...verdict };
}
