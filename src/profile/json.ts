/**
 * One JSON object for scripts:
 *
 * ```json
 * {"samples": [{"process": "nginx", "pid": 42, "service": null, "thread": "", "stack": [
 *    {"name": "main", "file": "nginx.c", "line": 200, "module": "/usr/sbin/nginx",
 *     "type": "native", "inlined": false}],
 *   "count": 3, "trace_id": null, "span_id": null, "labels": {}}],
 *  "tally": {"taken": 3, "exported": 3, "lost": {}, "truncated": {}, "deferred": {},
 *   "labels_lost": {}, "frames_named": 3, "frames_unnamed": 0, "events_lost": {}, "problems": {},
 *   "timing_ms": {}},
 *  "start_ms": 1790000000000, "duration_ns": 10000000000, "period_ns": 10101010, "host": "web-1"}
 * ```
 *
 * A sample stands for `period_ns` of CPU time. Stacks are leaf first. `service` is what the process itself states, or null. `line` 0, `file` '' and `thread` '' = not known;
 * `trace_id` and `span_id` are lower-case hex or null and not among `labels`.
 */
import { framesOf, processText, statedService } from './frame.ts';
import { type Label, type Profile, SPAN_ID, type Tally, TRACE_ID } from './model.ts';

const pieceLength = 65_536;

/** The text in pieces, so that a huge profile never is one string. */
export function* encodeJson(profile: Profile): Generator<string> {
  const { samples } = profile;
  const locations = new Map<number, string>();
  let piece = '{"samples":[';
  let separator = '\n';
  for (let row = 0; row < samples.length; row++) {
    if (samples.count[row] === 0) continue;
    piece += separator + sampleHead(profile, row);
    separator = ',\n';
    let frameSeparator = '';
    for (const index of profile.stacks[samples.stack[row]!]!) {
      let frames = locations.get(index);
      if (frames === undefined) {
        frames = framesText(profile, index);
        locations.set(index, frames);
      }
      piece += frameSeparator + frames;
      frameSeparator = ',';
      if (piece.length >= pieceLength) {
        yield piece;
        piece = '';
      }
    }
    piece += sampleTail(profile, row);
    if (piece.length >= pieceLength) {
      yield piece;
      piece = '';
    }
  }
  const { tally, startTime, duration, period, host } = profile;
  const facts = {
    tally: tallyObject(tally),
    start_ms: Number(startTime / 1_000_000n),
    duration_ns: duration,
    period_ns: period,
    host,
  };
  yield `${piece}\n],${JSON.stringify(facts).slice(1)}\n`;
}

function sampleHead(profile: Profile, row: number): string {
  const process = profile.processes[profile.samples.process[row]!]!;
  const thread = profile.threads[profile.samples.thread[row]!]!;
  return `{"process":${text(processText(process))},"pid":${process.pid},"service":${optional(statedService(process))},"thread":${text(thread)},"stack":[`;
}

function sampleTail(profile: Profile, row: number): string {
  // The last value of a key counts, as in any reader of JSON.
  const labels = new Map(
    profile.labelSets[profile.samples.labels[row]!]!.map(({ key, value }: Label) => [key, value]),
  );
  const traceId = labels.get(TRACE_ID);
  const spanId = labels.get(SPAN_ID);
  labels.delete(TRACE_ID);
  labels.delete(SPAN_ID);
  // Written by hand: in an object literal a label named `__proto__` would be lost.
  const others = [...labels].map(([key, value]) => `${text(key)}:${text(value)}`).join(',');
  return (
    `],"count":${profile.samples.count[row]},"trace_id":${optional(traceId)}` +
    `,"span_id":${optional(spanId)},"labels":{${others}}}`
  );
}

function framesText(profile: Profile, location: number): string {
  return framesOf(profile, profile.locations[location]!)
    .map(({ name, file, line, module, type, inlined }) =>
      text({ name, file, line, module, type, inlined }),
    )
    .join(',');
}

function optional(value: string | undefined): string {
  return value === undefined || value === '' ? 'null' : text(value);
}

/** JSON.stringify escapes control characters and lone surrogates itself. */
function text(value: unknown): string {
  return JSON.stringify(value);
}

function tallyObject(tally: Tally): unknown {
  return {
    taken: tally.taken,
    exported: tally.exported,
    lost: tally.lost,
    truncated: tally.truncated,
    deferred: tally.deferred,
    labels_lost: tally.labelsLost,
    frames_named: tally.framesNamed,
    frames_unnamed: tally.framesUnnamed,
    events_lost: tally.eventsLost,
    problems: tally.problems,
    timing_ms: tally.timingMs,
  };
}
