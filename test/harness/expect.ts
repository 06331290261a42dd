/** What end-to-end tests demand of recordings; the limits are those of the "Truth". */
import assert from 'node:assert/strict';
import {
  countNamed,
  countShapes,
  countTolerance,
  isNamed,
  type JsonSample,
  markerOf,
  type Shape,
  type ShapeCounts,
} from './chains.ts';
import type { ProgramReport } from './programs.ts';
import { countOf, ofPid, type Recording } from './record.ts';

const percent = (part: number, whole: number): string => `${((100 * part) / whole).toFixed(2)} %`;

/** The only report of `program`. */
export function reportOf(recording: Recording, program: string): ProgramReport {
  const found = recording.reports.filter((report) => report.program === program);
  assert.equal(found.length, 1, `${program} reported ${found.length} times`);
  return found[0]!;
}

/** What a stack says that left the kernel without a whole copy because the reader was behind. */
const BEHIND = /process not known yet|unwind table not loaded yet|copied part of the stack/;

/**
 * Without samples that the kernel could neither unwind, as it does not know the process
 * or a table yet, nor copy whole, as the ring was filling: how many they are depends on
 * how soon a busy machine lets the reader run. They say so, and as many at least are left.
 */
export function withoutRefusedCopies(
  samples: readonly JsonSample[],
  isRefused = (sample: JsonSample): boolean => BEHIND.test(markerOf(sample) ?? ''),
): JsonSample[] {
  const kept = samples.filter((sample) => !isRefused(sample));
  const [all, left] = [countOf(samples), countOf(kept)];
  assert.ok(
    2 * left >= all,
    `${all - left} of ${all} stacks were not copied whole: ${JSON.stringify(countMarkers(samples))}`,
  );
  return kept;
}

/** Samples by what cut their stacks. */
function countMarkers(samples: readonly JsonSample[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const sample of samples) {
    const marker = markerOf(sample) ?? 'whole';
    counts[marker] = (counts[marker] ?? 0) + sample.count;
  }
  return counts;
}

/**
 * At least 99.5 % of `samples` have exactly one of `shapes`; start-up and exit of the
 * process are counted apart: they take longer where nothing is in the caches, but never
 * a tenth of a run.
 */
export function expectShapes(
  samples: readonly JsonSample[],
  shapes: readonly Shape[],
  wrongAllowed = 0.005,
): ShapeCounts {
  const counts = countShapes(withoutRefusedCopies(samples), shapes);
  const examples = counts.examples.join('\n');
  const measured = `${counts.total} samples, ${JSON.stringify(countMarkers(samples))}`;
  assert.ok(counts.total >= 100, `only ${measured}`);
  assert.ok(
    counts.wrong <= wrongAllowed * counts.total,
    `${percent(counts.wrong, counts.total)} are wrong of ${measured}:\n${examples}`,
  );
  assert.ok(
    counts.outside <= 0.1 * counts.total,
    `${counts.outside} are outside of main of ${measured}`,
  );
  return counts;
}

/**
 * `samples` without those of the process's first moments whose copied bytes end
 * before the stack does. Until the kernel knows a process its samples leave as
 * registers and at most 64 KiB of one stack: what lies beyond, or on another
 * stack, is cut with that reason. Such samples are no more than `share` of the
 * copies that the tally names.
 */
export function withoutShortCopies(
  recording: Recording,
  samples: readonly JsonSample[],
  share = 1,
): JsonSample[] {
  const isShort = (sample: JsonSample): boolean =>
    /copied part|could not be read|Go stack switch/.test(markerOf(sample) ?? '');
  const short = countOf(samples.filter(isShort));
  const { deferred } = recording.tally;
  const copies = (deferred.unknown_process ?? 0) + (deferred.no_table ?? 0);
  assert.ok(
    short <= Math.max(1, share * copies),
    `${short} stacks are cut, ${JSON.stringify(deferred)} of ${countOf(samples)} samples copied`,
  );
  return withoutRefusedCopies(samples, isShort);
}

/** At least 99 % of all frames have a name. */
export function expectNames(samples: readonly JsonSample[]): void {
  const { named, total } = countNamed(samples);
  const nameless = new Map<string, number>();
  for (const sample of samples) {
    for (const frame of sample.stack) {
      if (!isNamed(frame)) nameless.set(frame.module, (nameless.get(frame.module) ?? 0) + 1);
    }
  }
  assert.ok(
    named >= 0.99 * total,
    `${percent(named, total)} of ${total} frames have a name; without: ${JSON.stringify([...nameless])}`,
  );
}

/** The count of samples agrees with the CPU time that the process says it used. */
export function expectCount(recording: Recording, report: ProgramReport): void {
  const counted = countOf(ofPid(recording, report.pid));
  const expected = (report.cpuNs / 1e9) * recording.hz;
  const stolen = recording.stolenSeconds * recording.hz;
  const allowed = countTolerance(expected, report.switches) + stolen;
  // A virtual machine stands still for moments that its own clocks book as CPU time
  // and /proc/stat does not call stolen (56 ms were seen): no tick comes in them.
  const stalled = 0.1 * recording.hz;
  assert.ok(
    counted <= expected + allowed && counted >= expected - allowed - stalled,
    `${counted} samples, but ${expected.toFixed(1)} ± ${allowed.toFixed(1)} by CPU time, ${stolen.toFixed(1)} stolen, ${report.switches} switches, ${JSON.stringify(recording.tally)}`,
  );
}

/** taken = exported + lost, and the tally agrees with the samples that are there. */
export function expectTally({ tally, samples }: Recording): void {
  const lost = Object.values(tally.lost).reduce((sum, count) => sum + count, 0);
  assert.equal(tally.taken, tally.exported + lost, `tally ${JSON.stringify(tally)}`);
  assert.equal(tally.exported, countOf(samples), 'exported and samples in the profile');
  for (const reason of Object.keys(tally.lost)) assert.match(reason, /^[a-z_]+$/);
}
