/** From what the kernel side copied of a thread's context to labels of samples. */
import {
  CONTEXTS,
  type ContextOutcome,
  LABEL_THREAD_CONTEXT,
  LabelEntry,
} from '../capture/record.ts';
import { parseThreadRecord } from '../context/thread-record.ts';
import {
  canonicalValue,
  firstNumbers,
  isReserved,
  type WantedKey,
} from '../context/wanted-keys.ts';
import { CONTEXT_HEAD_WORDS, CONTEXT_OVERFLOW, type RawContexts } from './aggregator.ts';
import { type Label, SPAN_ID, TRACE_ID } from './model.ts';

/** Labels by number of a context in the aggregate. */
export interface ContextLabels {
  readonly sets: readonly (readonly Label[])[];
  /** Why some are missing; undefined when all is said. */
  readonly missing: readonly (string | undefined)[];
}

export interface ContextFacts {
  /** As the kernel side was given them. */
  readonly wanted: readonly WantedKey[];
  /** Names of the attributes of an instance's thread records; undefined when it publishes none. */
  attributeKeys(instance: number): readonly string[] | undefined;
  /** Labels that profiles are to have; undefined = all. */
  readonly selected: ReadonlySet<string> | undefined;
}

const MALFORMED: ContextOutcome = 'context_malformed';
const MISSED: ContextOutcome = 'context_missed';
const OVERFLOW = 'labels_overflow';
/** A thread record has attributes, and nobody knows how they are called. */
const NO_KEYS = 'attribute_keys_unknown';

export function contextLabels(contexts: RawContexts, facts: ContextFacts): ContextLabels {
  const sets: (readonly Label[])[] = [];
  const missing: (string | undefined)[] = [];
  const numbers = firstNumbers(facts.wanted);
  const labelled = labelledInstances(contexts);
  const bytes = new DataView(
    contexts.words.buffer,
    contexts.words.byteOffset,
    contexts.words.byteLength,
  );
  for (let i = 0; i < contexts.length; i++) {
    const [first, end] = [contexts.start[i]!, contexts.start[i + 1]!];
    const instance = contexts.words[first]!;
    const reading = new Reading(facts, numbers, instance);
    reading.outcome(contexts.words[first + 1]!, labelled.has(instance));
    reading.block(bytes, (first + CONTEXT_HEAD_WORDS) * 4, end * 4);
    sets.push(reading.labels());
    missing.push(reading.missing);
  }
  return { sets, missing };
}

/** Instances of which some samples have labels. */
function labelledInstances({ length, start, words }: RawContexts): Set<number> {
  const instances = new Set<number>();
  for (let i = 0; i < length; i++) {
    if (start[i + 1]! - start[i]! > CONTEXT_HEAD_WORDS) instances.add(words[start[i]!]!);
  }
  return instances;
}

/** One sample's labels being read. */
class Reading {
  readonly #facts: ContextFacts;
  readonly #numbers: ReadonlyMap<string, number>;
  readonly #instance: number;
  /** Number of a wanted key to its value. */
  readonly #found = new Map<number, string>();
  readonly #labels = new Map<string, string>();
  missing: string | undefined;

  constructor(facts: ContextFacts, numbers: ReadonlyMap<string, number>, instance: number) {
    this.#facts = facts;
    this.#numbers = numbers;
    this.#instance = instance;
  }

  /** @param isLabelled other samples of the process have labels */
  outcome(code: number, isLabelled: boolean): void {
    if (code === CONTEXT_OVERFLOW) this.missing = OVERFLOW;
    else if (code >= CONTEXTS.length) this.missing = MALFORMED;
    else {
      const outcome = CONTEXTS[code]!;
      // Of a process that was not known others of its samples say whether it has labels at all.
      if (outcome === 'unknown_process') this.missing = isLabelled ? MISSED : undefined;
      else if (outcome !== 'none' && outcome !== 'read') this.missing = outcome;
    }
  }

  block(bytes: DataView, from: number, end: number): void {
    const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
    for (let at = from; at + LabelEntry.size <= end; ) {
      const key = bytes.getUint16(at + LabelEntry.key, true);
      const length = bytes.getUint16(at + LabelEntry.bytes, true);
      if (length === 0 || at + LabelEntry.size + length > end) {
        this.missing ??= MALFORMED;
        return;
      }
      const value = new Uint8Array(bytes.buffer, bytes.byteOffset + at + LabelEntry.size, length);
      if (key === LABEL_THREAD_CONTEXT) this.#threadRecord(value);
      else if (!this.#found.has(key)) this.#found.set(key, decoder.decode(value));
      at += (LabelEntry.size + length + 7) & ~7;
    }
  }

  /** Sorted by key. Of several keys for one label the first that is wanted counts. */
  labels(): Label[] {
    const { wanted } = this.#facts;
    for (const number of this.#found.keys()) {
      if (wanted[number] === undefined) this.missing ??= MALFORMED;
    }
    for (const { key, label, spelling } of wanted) {
      const given = this.#found.get(this.#numbers.get(key)!);
      if (given === undefined) continue;
      const value = canonicalValue(given, spelling);
      if (value === undefined) this.missing ??= MALFORMED;
      else this.#add(label, value);
    }
    return [...this.#labels]
      .map(([key, value]) => ({ key, value }))
      .sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  #threadRecord(bytes: Uint8Array): void {
    const record = parseThreadRecord(bytes);
    if (!record) {
      this.missing ??= MALFORMED;
      return;
    }
    if (record.traceId !== '') this.#add(TRACE_ID, record.traceId);
    if (record.spanId !== '') this.#add(SPAN_ID, record.spanId);
    if (record.attributes.size === 0) return;
    const keys = this.#facts.attributeKeys(this.#instance);
    for (const [index, value] of record.attributes) {
      const key = keys?.[index];
      // An empty name is one that the key map could not be read for.
      if (!key) this.missing ??= NO_KEYS;
      else if (!isReserved(key)) this.#add(key, value);
    }
  }

  #add(key: string, value: string): void {
    const isWanted = this.#facts.selected?.has(key) ?? true;
    if (isWanted && !this.#labels.has(key)) this.#labels.set(key, value);
  }
}
