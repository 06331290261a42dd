/** Builds and judges test/programs/go-requests: whose request is each sample, and whose does it say it is. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type JsonFrame, type JsonSample, showStack, userFrames } from './chains.ts';
import { REPOSITORY } from './programs.ts';
import { type JsonTally, type Recording, record } from './record.ts';

const SOURCE = join(REPOSITORY, 'test/programs/go-requests');
const HZ = 499;
const DIGITS = 4;
/** As labels.go numbers them: this one has no span. */
const [STYLES, TRACE_ALONE] = [4, 2];

export interface RequestsBuild {
  /** Such as `1.21.13`, from the module proxy; undefined = the installed one. */
  readonly release?: string;
  readonly mode?: 'exe' | 'pie';
  readonly stripped?: boolean;
  readonly cgo?: boolean;
  /** Linked by the C linker, without shared libraries. */
  readonly static?: boolean;
}

/** @returns path of the program, in `directory` */
export function buildRequests(directory: string, build: RequestsBuild = {}): string {
  const { release, mode = 'exe', stripped = false, cgo = false } = build;
  const environment = {
    ...process.env,
    CGO_ENABLED: cgo ? '1' : '0',
    // Settings of the machine's user may be unknown to an old release.
    GOENV: 'off',
    GOFLAGS: '',
    GOTOOLCHAIN: release === undefined ? 'local' : `go${release}`,
  };
  const go = (...options: string[]): string =>
    execFileSync('go', options, { cwd: SOURCE, env: environment, stdio: 'pipe', encoding: 'utf8' });
  const version = release ?? go('env', 'GOVERSION').trim().slice(2);
  const path = join(directory, ['requests', version, ...Object.keys(build)].join('-'));
  const flags = [...(stripped ? ['-s', '-w'] : [])];
  if (build.static) flags.push('-linkmode=external', "'-extldflags=-static'");
  const ldflags = `-ldflags=${flags.join(' ')}`;
  go('build', ...modulesFor(version), `-buildmode=${mode}`, ldflags, '-o', path, '.');
  return path;
}

/** What the release can build: the newest bridge, the first one, or none. */
function modulesFor(version: string): string[] {
  const minor = Number(version.split('.')[1]);
  if (minor >= 25) return [];
  if (minor >= 20) return ['-modfile=go-1.20.mod'];
  return ['-modfile=plain.mod', '-tags=plain'];
}

interface Request {
  readonly number: number;
  readonly trace: string;
  /** '' = its labels are no span's. */
  readonly span: string;
  readonly cpuNs: number;
}

export interface RequestSample extends JsonSample {
  readonly trace_id: string | null;
  readonly span_id: string | null;
  readonly labels: Readonly<Record<string, string>>;
}

/** The number that the digit functions of a stack spell; undefined when they spell none. */
export function requestNumber(frames: readonly JsonFrame[]): number | undefined {
  const digits = frames.flatMap(({ name }) => /^main\.digit([0-9a-f])$/.exec(name)?.[1] ?? []);
  return digits.length === DIGITS ? Number.parseInt(digits.join(''), 16) : undefined;
}

/** Of one long request, by the program's clock and by samples. */
export interface RequestTime {
  readonly number: number;
  /** Samples that its CPU time should have. */
  readonly expected: number;
  readonly found: number;
}

export interface Judgement {
  readonly requests: number;
  /** Samples in functions that spell a request, and how many say which. */
  readonly inside: number;
  readonly identified: number;
  /** The first few that do not. */
  readonly silent: readonly string[];
  /** Different requests among them. */
  readonly seen: number;
  /** The first few that say what is not so. */
  readonly wrong: readonly string[];
  readonly wrongCount: number;
  /** Samples outside of all requests' functions that carry an id all the same; some may. */
  readonly elsewhere: number;
  /** The longest, and all together. */
  readonly times: readonly RequestTime[];
  readonly total: RequestTime;
  readonly labelsLost: Readonly<Record<string, number>>;
  readonly deferred: number;
  readonly recording: Recording;
}

/** @param directory for the program's report */
export async function recordRequests(
  program: string,
  seconds: number,
  directory: string,
): Promise<Judgement> {
  const report = join(directory, 'requests.txt');
  const recording = await record({ hz: HZ, command: [program, `${seconds}`, report] });
  return judge(recording, readRequests(report));
}

function readRequests(path: string): Request[] {
  return readFileSync(path, 'utf8')
    .trim()
    .split('\n')
    .map((line) => {
      const [number, trace, span, cpuNs] = line.split(' ');
      return {
        number: Number(number),
        trace: trace!,
        span: span!.replace('-', ''),
        cpuNs: Number(cpuNs),
      };
    });
}

/** Functions of the runtime that work for no request. */
const NOBODYS = new Set(['runtime.gcBgMarkWorker', 'runtime.findRunnable', 'runtime.bgsweep']);

function judge(recording: Recording, requests: readonly Request[]): Judgement {
  const wrong: string[] = [];
  const silent: string[] = [];
  let [inside, identified, elsewhere, wrongCount] = [0, 0, 0, 0];
  const found = new Map<number, number>();
  const seen = new Set<number>();
  for (const sample of recording.samples as readonly RequestSample[]) {
    const { trace_id: trace, span_id: span, count } = sample;
    const frames = userFrames(sample);
    const names = frames.map(({ name }) => name);
    const number = requestNumber(frames);
    const says = `${trace} ${span}: ${showStack(sample)}`;
    const complain = (what: string): void => {
      wrongCount += count;
      if (wrong.length < 10) wrong.push(`${what}, but ${says}`);
    };
    if (number !== undefined) {
      inside += count;
      const request = requests[number];
      if (request === undefined) {
        complain(`there is no request ${number}`);
        continue;
      }
      seen.add(number);
      if (names.includes('main.locked')) found.set(number, (found.get(number) ?? 0) + count);
      const isWhole = trace !== null && (span !== null || number % STYLES === TRACE_ALONE);
      if (isWhole) identified += count;
      else if (silent.length < 10) silent.push(says);
      const isWrong =
        (trace !== null && trace !== request.trace) || (span !== null && span !== request.span);
      if (isWrong) complain(`${request.trace} ${request.span}`);
    } else if (trace !== null || span !== null) {
      elsewhere += count;
      if (names.includes('main.outside')) complain('outside of every request');
      if (names.some((name) => NOBODYS.has(name))) complain('for nobody');
    }
  }
  const times = requests
    .map(({ number, cpuNs }) => ({
      number,
      expected: (cpuNs / 1e9) * recording.hz,
      found: found.get(number) ?? 0,
    }))
    .sort((a, b) => b.expected - a.expected);
  const tally = recording.tally as JsonTally & { labels_lost: Record<string, number> };
  return {
    requests: requests.length,
    inside,
    identified,
    silent,
    seen: seen.size,
    wrong,
    wrongCount,
    elsewhere,
    times: times.slice(0, 10),
    total: {
      number: -1,
      expected: times.reduce((sum, time) => sum + time.expected, 0),
      found: [...found.values()].reduce((sum, count) => sum + count, 0),
    },
    labelsLost: tally.labels_lost,
    deferred: Object.values(tally.deferred).reduce((sum, count) => sum + count, 0),
    recording,
  };
}
