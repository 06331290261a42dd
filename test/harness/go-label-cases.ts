/** Runs `go-requests cases`: one set of labels after the other, what a program can have and what it cannot. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { startProfiler } from '../../src/agent/profiler.ts';
import { encodeJson } from '../../src/profile/json.ts';
import { showStack, userFrames } from './chains.ts';
import { type RequestSample, requestNumber } from './go-requests.ts';
import { pause } from './record.ts';

/** Every length that a key can have and be wanted. */
const X_KEYS = Array.from({ length: 32 }, (_, index) => 'x'.repeat(index + 1));
const WANTED = ['trace_id', 'span_id', 'a', 'zz', 'long', ...X_KEYS];
/** The longest value that is kept, at least. */
const LONGEST = 512;

interface LabelCase {
  readonly number: number;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>> | null;
}

export interface CaseResult {
  readonly name: string;
  readonly samples: number;
  /** Of them, those that say nothing although there is something to say. */
  readonly silent: number;
  /** Those that say what is not so, or less than they could. */
  readonly wrong: readonly string[];
}

export interface CasesResult {
  readonly cases: readonly CaseResult[];
  readonly labelsLost: Readonly<Record<string, number>>;
  /** Samples that were taken before the kernel side knew the process, or that it is Go. */
  readonly first: number;
}

/** Labels that there is no room for together, and which stays is not said; their ids do. */
const CROWDED = 'ids last';
const isId = (key: string): boolean => key === 'trace_id' || key === 'span_id';

/** What of a case's labels has to be there. */
function expected({ name, labels }: LabelCase): Record<string, string> {
  return Object.fromEntries(
    Object.entries(labels ?? {}).filter(
      ([key, value]) =>
        WANTED.includes(key) &&
        value !== '' &&
        !(name === 'too long' && value.length > LONGEST) &&
        (name !== CROWDED || isId(key)),
    ),
  );
}

/** @param directory for the program's report */
export async function recordCases(program: string, directory: string): Promise<CasesResult> {
  const report = join(directory, 'cases.txt');
  const child = spawn(program, ['cases', report], { stdio: ['pipe', 'ignore', 'inherit'] });
  const closed = once(child, 'close');
  const profiler = await startProfiler({
    hz: 997,
    scope: { pids: [child.pid!], followChildren: true },
    threads: false,
    kernelStacks: false,
    maxDepth: 64,
    labels: WANTED,
    symbols: { debuginfodUrls: [], cacheDir: '', maxCacheBytes: 1 << 20 },
  });
  await pause(100);
  child.stdin.end('\n');
  const [code] = await closed;
  const profile = await profiler.stop();
  if (code !== 0) throw new Error(`${program} ended with ${code}`);
  const { samples } = JSON.parse([...encodeJson(profile)].join('')) as {
    samples: RequestSample[];
  };
  const { deferred, labelsLost } = profile.tally;
  const cases = readFileSync(report, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as LabelCase);
  return {
    cases: cases.map((one) => judged(one, samples)),
    labelsLost,
    first: (deferred.unknown_process ?? 0) + (labelsLost.unknown_process ?? 0),
  };
}

function judged(one: LabelCase, samples: readonly RequestSample[]): CaseResult {
  const wrong: string[] = [];
  const labels = JSON.stringify(expected(one), Object.keys(expected(one)).sort());
  let [count, silent] = [0, 0];
  for (const sample of samples) {
    if (requestNumber(userFrames(sample)) !== one.number) continue;
    count += sample.count;
    const { trace_id, span_id } = sample;
    const found: Record<string, string> = { ...sample.labels };
    for (const key of Object.keys(found)) if (key.startsWith('goroutine')) delete found[key];
    if (trace_id !== null) found.trace_id = trace_id;
    if (span_id !== null) found.span_id = span_id;
    const saysNothing = Object.keys(found).length === 0;
    if (one.name === CROWDED)
      for (const key of Object.keys(found)) if (!isId(key)) delete found[key];
    const text = JSON.stringify(found, Object.keys(found).sort());
    // Go and JavaScript replace what is no text by different numbers of marks.
    const marks = (value: string): string => value.replace(/\ufffd+/g, '\ufffd');
    if (saysNothing && labels !== text) silent += sample.count;
    else if (marks(text) !== marks(labels))
      wrong.push(`${text}, not ${labels}: ${showStack(sample)}`);
  }
  return { name: one.name, samples: count, silent, wrong };
}
