/** Reads what `encodeJson` writes. */
import { type Label, type Profile, SPAN_ID, TRACE_ID } from './model.ts';
import type { ResolvedLocation } from './profile-tables.ts';
import { frameTypeOf, isPlace, mappingOf, ProfileFileError, ProfileRebuilder } from './rebuild.ts';

type Fields = Readonly<Record<string, unknown>>;

const isRecord = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const fields = (value: unknown): Fields => (isRecord(value) ? value : {});
const text = (value: unknown): string => (typeof value === 'string' ? value : '');
const number = (value: unknown): number => (typeof value === 'number' ? value : 0);

/** @throws ProfileFileError */
export function readJson(content: string): Profile {
  let whole: unknown;
  try {
    whole = JSON.parse(content);
  } catch (error) {
    throw new ProfileFileError(`no JSON: ${error instanceof Error ? error.message : error}`);
  }
  const { samples, tally, start_ms, duration_ns, period_ns, host } = fields(whole);
  if (!Array.isArray(samples)) throw new ProfileFileError('JSON without samples');
  const rebuilder = new ProfileRebuilder();
  for (const sample of samples) addSample(rebuilder, fields(sample));
  const start = Math.round(number(start_ms));
  return rebuilder.finish({
    startNs: BigInt(Number.isSafeInteger(start) && start > 0 ? start : 0) * 1_000_000n,
    durationNs: number(duration_ns),
    periodNs: number(period_ns),
    host: text(host),
    tally: tallyEntries(fields(tally)),
  });
}

function addSample(rebuilder: ProfileRebuilder, sample: Fields): void {
  const { process, pid, service, thread, stack, count, trace_id, span_id, labels } = sample;
  const locations: number[] = [];
  let inlined: Fields[] = [];
  for (const frame of Array.isArray(stack) ? stack.map(fields) : []) {
    // A call that was inlined stands before the function that it is in.
    inlined.push(frame);
    if (frame.inlined === true) continue;
    locations.push(rebuilder.location(locationOf(inlined)));
    inlined = [];
  }
  const all: Label[] = [
    { key: TRACE_ID, value: text(trace_id) },
    { key: SPAN_ID, value: text(span_id) },
    ...Object.entries(fields(labels)).map(([key, value]) => ({ key, value: text(value) })),
  ];
  rebuilder.add(
    rebuilder.process(number(pid), text(process), '', text(service)),
    text(thread),
    locations,
    all.filter(({ value }) => value !== ''),
    number(count),
  );
}

function locationOf(frames: readonly Fields[]): ResolvedLocation {
  const { module, type } = frames.at(-1)!;
  return {
    mapping: mappingOf(text(module)),
    address: 0,
    type: frameTypeOf(type),
    lines: frames.map(({ name, file, line }) => ({
      name: text(name),
      systemName: '',
      file: text(file),
      line: number(line),
      column: 0,
      startLine: 0,
      ...(isPlace(text(name)) ? { unnamed: true } : {}),
    })),
  };
}

function* tallyEntries(tally: Fields): Generator<readonly [string, number]> {
  for (const [key, value] of Object.entries(tally)) {
    if (typeof value === 'number') yield [key, value];
    for (const [reason, count] of Object.entries(fields(value))) {
      yield [`${key}.${reason}`, number(count)];
    }
  }
}
