/**
 * The samples of a pprof message, written straight from the columns. Stacks and
 * labels repeat, so each is encoded once and then copied: one object per row
 * would cost ten times the time and hundreds of bytes each.
 */
import { Label as PprofLabel, Sample as PprofSample, type StringTable } from 'pprof-format';
import { processText, statedService } from './frame.ts';
import { GOROUTINE_KEY } from './goroutine-labels.ts';
import type { Profile } from './model.ts';

/**
 * What is written: everything, as a file has to stand alone; or what Pyroscope
 * makes a series of: CPU time only, without the process, whose name the series
 * has, and ids of goroutines as texts, because it drops numbers.
 */
export type PprofContent = 'file' | 'series';

/** `Profile.sample`: field 2, length-delimited. */
const sampleTag = (2 << 3) | 2;

/**
 * All samples as fields of the Profile message, to be appended to the rest of
 * it: fields of a protobuf message may come in any order. Location i of the
 * profile has id i + 1. Rows without samples are left out.
 */
export function encodeSamples(
  profile: Profile,
  strings: StringTable,
  content: PprofContent,
): Uint8Array {
  const { length, count } = profile.samples;
  const parts = new SampleParts(profile, strings, content);
  const lengths = new Uint32Array(length);
  let total = 0;
  for (let row = 0; row < length; row++) {
    // Receivers drop zero values, and some fail on them.
    if (count[row] === 0) continue;
    for (const field of parts.fieldsOf(row)) lengths[row]! += field.length;
    total += 1 + varintLength(lengths[row]!) + lengths[row]!;
  }
  const bytes = new Uint8Array(total);
  let at = 0;
  for (let row = 0; row < length; row++) {
    if (lengths[row] === 0) continue;
    bytes[at++] = sampleTag;
    at = writeVarint(bytes, at, lengths[row]!);
    for (const field of parts.fieldsOf(row)) {
      bytes.set(field, at);
      at += field.length;
    }
  }
  return bytes;
}

class SampleParts {
  readonly #profile: Profile;
  readonly #strings: StringTable;
  readonly #content: PprofContent;
  readonly #period: number;
  readonly #stacks = new Map<number, Uint8Array>();
  readonly #values = new Map<number, Uint8Array>();
  readonly #processes = new Map<number, Uint8Array>();
  readonly #threads = new Map<number, Uint8Array>();
  readonly #labelSets = new Map<number, Uint8Array>();

  constructor(profile: Profile, strings: StringTable, content: PprofContent) {
    this.#profile = profile;
    this.#strings = strings;
    this.#content = content;
    this.#period = Math.round(profile.period);
  }

  fieldsOf(row: number): readonly Uint8Array[] {
    const { stack, count, process, thread, labels } = this.#profile.samples;
    return [
      cached(this.#stacks, stack[row]!, this.#stack),
      cached(this.#values, count[row]!, this.#value),
      cached(this.#processes, process[row]!, this.#process),
      cached(this.#threads, thread[row]!, this.#thread),
      cached(this.#labelSets, labels[row]!, this.#labelSet),
    ];
  }

  readonly #stack = (index: number): Uint8Array =>
    new PprofSample({
      locationId: Array.from(this.#profile.stacks[index]!, (location) => location + 1),
    }).encode();

  readonly #value = (count: number): Uint8Array => {
    const product = count * this.#period;
    const exact = Number.isSafeInteger(product) ? product : BigInt(count) * BigInt(this.#period);
    const value = this.#content === 'file' ? [count, exact] : [exact];
    return new PprofSample({ value }).encode();
  };

  readonly #process = (index: number): Uint8Array => {
    if (this.#content === 'series') return encodeLabels([]);
    const process = this.#profile.processes[index]!;
    const pid = new PprofLabel({ key: this.#strings.dedup('pid'), num: process.pid });
    return encodeLabels([
      ...this.#label('process', processText(process)),
      pid,
      ...this.#label('service_name', statedService(process)),
    ]);
  };

  readonly #thread = (index: number): Uint8Array =>
    encodeLabels(this.#label('thread', this.#profile.threads[index]!));

  readonly #labelSet = (index: number): Uint8Array =>
    encodeLabels(
      this.#profile.labelSets[index]!.flatMap(({ key, value }) => this.#label(key, value)),
    );

  /** Nothing for an empty text: without a string the label would be read as the number 0. */
  #label(key: string, value: string): PprofLabel[] {
    if (key === '' || value === '') return [];
    const name = this.#strings.dedup(key);
    // A number, as the pid: receivers make a series of each text.
    if (key === GOROUTINE_KEY && this.#content === 'file')
      return [new PprofLabel({ key: name, num: Number(value) })];
    return [new PprofLabel({ key: name, str: this.#strings.dedup(value) })];
  }
}

function encodeLabels(label: PprofLabel[]): Uint8Array {
  return new PprofSample({ label }).encode();
}

function cached(
  map: Map<number, Uint8Array>,
  key: number,
  encode: (key: number) => Uint8Array,
): Uint8Array {
  let bytes = map.get(key);
  if (bytes === undefined) {
    bytes = encode(key);
    map.set(key, bytes);
  }
  return bytes;
}

function varintLength(value: number): number {
  let length = 1;
  for (let rest = value; rest >= 128; rest = Math.floor(rest / 128)) length++;
  return length;
}

function writeVarint(bytes: Uint8Array, offset: number, value: number): number {
  let at = offset;
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes[at++] = (rest % 128) + 128;
  bytes[at++] = rest;
  return at;
}
