/** Programs of test/programs/context: requests that say who they are, and what samples say of them. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { JsonSample } from './chains.ts';
import { REPOSITORY } from './programs.ts';
import { countOf } from './record.ts';

export const CONTEXT_PROGRAMS = join(REPOSITORY, 'test', 'programs', 'context');

/** The crate whose C side `custom-labels.c` uses: for crate(). */
export const CUSTOM_LABELS = [
  'custom-labels',
  '0.4.6',
  '4121f4f539659ad975da5bc6702b7d7d6de59ff1bbaec328dfe7dd5058052ef2',
] as const;

export interface IdentifiedSample extends JsonSample {
  readonly trace_id: string | null;
  readonly span_id: string | null;
  readonly labels: Readonly<Record<string, string>>;
}

/** What a program reports of a request: the function made for it, and its ids. */
export interface Request {
  readonly function: string;
  readonly trace_id: string;
  readonly span_id: string;
  readonly cpu_seconds: number;
}

export const readRequests = (path: string): Request[] =>
  readFileSync(path, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Request);

/** Runs a compiler on sources of test/programs/context (those without a slash). */
export function compileContext(
  output: string,
  sources: readonly string[],
  flags: readonly string[] = [],
  compiler = 'gcc',
): string {
  const paths = sources.map((source) =>
    source.includes('/') ? source : join(CONTEXT_PROGRAMS, source),
  );
  const usual = ['-O2', '-Wall', '-fno-stack-protector', '-pthread'];
  execFileSync(compiler, [...usual, '-o', output, ...paths, ...flags], { stdio: 'pipe' });
  return output;
}

const functionOf = ({ stack }: JsonSample): string | undefined =>
  stack.find(({ name }) => /^burn(\d+|_for_nobody)$/.test(name))?.name;

export interface Judgement {
  /** Samples in functions of requests, and those of them that have an id. */
  readonly samples: number;
  readonly identified: number;
}

/**
 * Nobody has the ids of another request, and work for nobody has none.
 * @param samples of the program that reported `requests`
 */
export function expectOwnIds(
  samples: readonly IdentifiedSample[],
  requests: readonly Request[],
): Judgement {
  const bySpan = new Map(requests.map((request) => [request.span_id, request]));
  const served = samples.filter((sample) => /^burn\d/.test(functionOf(sample) ?? ''));
  const wrong = samples.filter((sample) => {
    const burning = functionOf(sample);
    const { trace_id: trace, span_id: span } = sample;
    if (burning === undefined || (trace === null && span === null)) return false;
    const request = bySpan.get(span ?? '');
    return request?.function !== burning || request.trace_id !== trace;
  });
  assert.deepEqual(
    wrong.map((sample) => [functionOf(sample), sample.trace_id, sample.span_id]),
    [],
  );
  const identified = served.filter(({ trace_id }) => trace_id !== null);
  return { samples: countOf(served), identified: countOf(identified) };
}

/**
 * Samples of each trace against the time that the program's own clock measured: a
 * sampled time has a standard error of one period times the root of its samples, at most.
 */
export function expectCpuTimes(
  samples: readonly IdentifiedSample[],
  requests: readonly Request[],
  hz: number,
): void {
  const measured = new Map<string, number>();
  for (const { trace_id, cpu_seconds } of requests) {
    measured.set(trace_id, (measured.get(trace_id) ?? 0) + cpu_seconds);
  }
  for (const [trace, seconds] of measured) {
    const expected = seconds * hz;
    const counted = countOf(samples.filter((sample) => sample.trace_id === trace));
    const limit = 5 * Math.sqrt(expected + 1);
    assert.ok(
      Math.abs(counted - expected) <= limit,
      `trace ${trace}: ${counted} samples, ${expected.toFixed(1)} ± ${limit.toFixed(1)} expected`,
    );
  }
}
