/**
 * When Pyroscope refuses a pushed series, and with what words. Marked by origin:
 * (run) was seen at a server built from the public snapshot of 2026-08-21, after
 * v2.2.1; (code) was read in that snapshot.
 */
import type { Limits } from './limits.ts';
import type { PushedProfile } from './pushed-profile.ts';

export type Labels = ReadonlyMap<string, string>;

export class Refusal extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

const bad = (message: string): Refusal => new Refusal('invalid_argument', message);

/** Keys of samples that are columns and make no series (run). */
export const ID_KEYS: ReadonlySet<string> = new Set(['trace_id', 'span_id', 'profile_id']);

/** `{a="b", c="d"}`, by name (run). */
export function labelText(labels: Iterable<readonly [string, string]>): string {
  const pairs = [...labels].sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${pairs.map(([name, value]) => `${name}=${JSON.stringify(value)}`).join(', ')}}`;
}

/** (run, each line) @param labels with those of a sample, where it has any */
export function checkLabels(labels: readonly (readonly [string, string])[], limits: Limits): void {
  const text = labelText(labels);
  const wrong = (why: string) => bad(`invalid labels '${text}' with error: ${why}`);
  const values = new Map(labels);
  if (labels.length > limits.labelNames)
    throw bad(
      `profile series '${text}' has ${labels.length} label names; limit ${limits.labelNames}`,
    );
  if (!values.get('__name__')) throw wrong('invalid metric name');
  if (!values.get('service_name')) throw wrong('service name is not provided');
  const seen = new Set<string>();
  for (const [name, value] of labels) {
    if (Buffer.byteLength(name) > limits.labelName)
      throw bad(`profile with labels '${text}' has label name too long: '${name}'`);
    if (Buffer.byteLength(value) > limits.labelValue)
      throw bad(`profile with labels '${text}' has label value too long: '${value}'`);
    // Every other UTF-8 name is taken since 2.0.
    if (name === '') throw wrong(`invalid label name ''`);
    if (seen.has(name))
      throw bad(`profile with labels '${text}' has duplicate label name: '${name}'`);
    seen.add(name);
  }
}

/** (run, each line; the order is the code's) */
export function checkProfile(
  profile: PushedProfile,
  labels: readonly (readonly [string, string])[],
  limits: Limits,
  nowMs: number,
): void {
  const text = labelText(labels);
  const timeMs = Number(profile.timeNs / 1_000_000n);
  // Time 0 is taken as now.
  if (timeMs > 0 && (timeMs <= nowMs - limits.olderMs || timeMs >= nowMs + limits.newerMs))
    throw bad(`profile with labels '${text}' is outside of ingestion window`);
  if (profile.samples.length > limits.samples)
    throw bad(
      `the profile with labels '${text}' exceeds the samples count limit (max_profile_stacktrace_samples, actual: ${profile.samples.length}, limit: ${limits.samples})`,
    );
  if (profile.samples.some(({ values }) => values.length !== profile.types.length))
    throw bad('sample value length mismatch');
  if (profile.types.some(({ type }) => type.includes('-'))) throw bad('sample type contains -');
}
