/** Ids of requests of Node.js services: whose work a sample is, by what their libraries carry from continuation to continuation. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { type JsonSample, userFrames } from '../harness/chains.ts';
import { buildLabelLibrary, type NodeMajor, nodeRelease } from '../harness/node-releases.ts';
import { buildProgram, REPOSITORY } from '../harness/programs.ts';
import { countOf, ofPid, type Recording, record } from '../harness/record.ts';

const HZ = 499;
const SECONDS = 4;
const MAJORS: readonly NodeMajor[] = [22, 24, 26];
const SERVICE = join(REPOSITORY, 'test', 'programs', 'node-context', 'service.ts');
/** Functions have names, code stays where its name is, and no function becomes part of another. */
const FLAGS = [
  '--perf-basic-prof',
  '--interpreted-frames-native-stack',
  '--no-flush-bytecode',
  '--no-turbo-inlining',
  '--no-maglev-inlining',
  '--expose-gc',
  '--disable-warning=ExperimentalWarning',
];

const folder = mkdtempSync(join(tmpdir(), 'node-context-'));
after(() => rmSync(folder, { recursive: true, force: true }));

interface TracedSample extends JsonSample {
  readonly trace_id: string | null;
  readonly span_id: string | null;
}

interface Service {
  readonly pid: number;
  /** CPU time of the process. */
  readonly microseconds: number;
  readonly spans: readonly {
    readonly name: string;
    readonly traceId: string;
    readonly spanId: string;
    readonly microseconds: number;
  }[];
}

/** Runs a service per release at the same time. @param carrier of each */
async function serve(
  workers: number,
  carrier: (major: NodeMajor) => string,
): Promise<{ recording: Recording; services: ReadonlyMap<NodeMajor, Service> }> {
  const reports = new Map(MAJORS.map((major) => [major, join(folder, `${major}-${workers}.json`)]));
  const commands = MAJORS.map((major) => {
    const flags = major === 22 ? [...FLAGS, '--experimental-async-context-frame'] : FLAGS;
    const words = [nodeRelease(major).binary, ...flags, SERVICE, carrier(major)];
    return [...words, SECONDS, workers, reports.get(major)].map((word) => `'${word}'`).join(' ');
  });
  const script = `${commands.join(' & ')} & wait`;
  const recording = await record({ hz: HZ, command: ['sh', '-c', script] });
  const services = new Map<NodeMajor, Service>();
  for (const [major, path] of reports) {
    const service = JSON.parse(readFileSync(path, 'utf8')) as Service;
    rmSync(`/tmp/perf-${service.pid}.map`, { force: true });
    services.set(major, service);
  }
  return { recording, services };
}

/**
 * The function made for a span, or for nobody, that a sample is in. Code that V8 gives
 * up makes room for other code, and its samples have that one's name: so its neighbours
 * have to be right too.
 */
function burner(sample: JsonSample): string | undefined {
  const names = userFrames(sample).map(({ name }) => name);
  return names.find((name, at) => {
    if (names[at + 1] !== 'burn') return false;
    if (/^nobody_\d+_\w+$/.test(name)) return true;
    return names[at - 1] === 'burnIn' && /^(outer|inner)_\d+_\d+$/.test(name);
  });
}

/** Five standard deviations of a count above its expectation. */
const atMost = (expected: number): number => expected + 5 * Math.sqrt(expected) + 1;

function judge(recording: Recording, service: Service): void {
  const samples = ofPid(recording, service.pid) as TracedSample[];
  const byName = new Map(service.spans.map((span) => [span.name, span]));
  const byTrace = new Map<string, number>();
  const wrong: string[] = [];
  const known = whenKnown(samples, byName);
  const threads = new Set(service.spans.map(({ name }) => place(name)[0]));
  // What came before is forgiven below: a thread that is never known would be, too.
  assert.deepEqual([...known.keys()].sort(), [...threads].sort());
  let [right, missing] = [0, 0];
  for (const sample of samples) {
    const name = burner(sample);
    const span = name === undefined ? undefined : byName.get(name);
    const said = `${sample.trace_id} ${sample.span_id}`;
    if (name?.startsWith('nobody') && sample.trace_id !== null) wrong.push(`${name}: ${said}`);
    if (span === undefined) continue;
    if (sample.trace_id === null) missing += isBefore(span.name, known) ? 0 : sample.count;
    else if (said === `${span.traceId} ${span.spanId}`) right += sample.count;
    else wrong.push(`${name}: ${said}, not ${span.traceId} ${span.spanId}`);
    byTrace.set(span.traceId, (byTrace.get(span.traceId) ?? 0) + sample.count);
  }
  const lost = JSON.stringify(recording.tally.labels_lost);
  assert.deepEqual(wrong, []);
  assert.ok(right > 100, `${right} samples in functions of spans, of ${countOf(samples)}`);
  assert.ok(
    missing <= atMost(0.01 * (right + missing)),
    `${missing} missing, ${right} right: ${lost}`,
  );
  agree(service, byTrace);
}

/** Of `outer_THREAD_NUMBER`: spans of a thread are numbered as they come. */
function place(name: string): [thread: string, number: number] {
  const [, thread, number] = name.split('_');
  return [thread!, Number(number)];
}

/** By thread, the first span with ids: a busy machine takes long to find out how to read a process. */
function whenKnown(
  samples: readonly TracedSample[],
  spans: ReadonlyMap<string, unknown>,
): Map<string, number> {
  const first = new Map<string, number>();
  for (const sample of samples) {
    const name = burner(sample);
    if (name === undefined || !spans.has(name) || sample.trace_id === null) continue;
    const [thread, number] = place(name);
    first.set(thread, Math.min(number, first.get(thread) ?? number));
  }
  return first;
}

function isBefore(name: string, known: ReadonlyMap<string, number>): boolean {
  const [thread, number] = place(name);
  return number < (known.get(thread) ?? Number.POSITIVE_INFINITY);
}

/** CPU time by trace: as the program's own clock has it, as far as samples can tell. */
function agree(service: Service, byTrace: ReadonlyMap<string, number>): void {
  const clock = new Map<string, number>();
  for (const { traceId, microseconds } of service.spans) {
    clock.set(traceId, (clock.get(traceId) ?? 0) + microseconds);
  }
  const all = [...clock.values()].reduce((sum, one) => sum + one, 0);
  const counted = [...byTrace.values()].reduce((sum, one) => sum + one, 0);
  let squares = 0;
  for (const [traceId, microseconds] of clock) {
    const expected = (microseconds / all) * counted;
    squares += ((byTrace.get(traceId) ?? 0) - expected) ** 2 / expected;
  }
  // Were samples independent, the sum would be as large as there are traces, give or take.
  const traces = clock.size;
  assert.ok(squares <= traces + 5 * Math.sqrt(2 * traces), `${squares} for ${traces} traces`);
}

test('samples of Node 22, 24 and 26 carry the ids that @datadog/pprof carries', async () => {
  const { recording, services } = await serve(1, () => 'datadog');
  for (const [, service] of services) judge(recording, service);
});

test('samples of Node 22, 24 and 26 carry the ids among the labels of custom-labels', async () => {
  const { recording, services } = await serve(0, buildLabelLibrary);
  for (const [, service] of services) judge(recording, service);
});

test('objects that are being moved are read, and nonsense has its reason', async () => {
  const recording = await record({ hz: 997, command: [buildProgram('fake-v8'), '0.04'] });
  const counts: Record<string, number> = {};
  for (const sample of recording.samples as TracedSample[]) {
    const name = userFrames(sample).find((frame) => NAMES.has(frame.name))?.name;
    if (name === undefined) continue;
    counts[name] = (counts[name] ?? 0) + sample.count;
    const ids = `${sample.trace_id} ${sample.span_id}`;
    assert.equal(ids, name === 'whole' || name === 'too_long' ? IDS : 'null null', name);
  }
  for (const name of NAMES) assert.ok((counts[name] ?? 0) > 10, `${name}: ${counts[name]}`);
  // A function is entered after its context was, and left before.
  const { labels_lost: lost } = recording.tally;
  for (const name of ['unreadable', 'malformed', 'too_long'] as const) {
    const difference = Math.abs((lost[`context_${name}`] ?? 0) - counts[name]!);
    assert.ok(difference <= 3, `${JSON.stringify(lost)}, but ${JSON.stringify(counts)}`);
  }
});

const NAMES: ReadonlySet<string> = new Set([
  'whole',
  'none',
  'unreadable',
  'malformed',
  'too_long',
]);
const IDS = '101112131415161718191a1b1c1d1e1f 2021222324252627';
