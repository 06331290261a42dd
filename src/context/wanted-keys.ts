/**
 * Which labels samples are to carry. Libraries spell the two ids of a request in
 * several ways; here they become `trace_id` and `span_id`.
 */
import { KEY_BYTES, WANTED_KEYS } from '../capture/record.ts';
import { SPAN_ID, TRACE_ID } from '../profile/model.ts';

/** Where nothing else is asked for. */
export const DEFAULT_LABELS: readonly string[] = [TRACE_ID, SPAN_ID];

/** How a value is written. */
type Spelling = 'text' | 'hex16' | 'hex32' | 'decimal64';

export interface WantedKey {
  /** As the program writes it. */
  readonly key: string;
  /** As profiles have it. */
  readonly label: string;
  readonly spelling: Spelling;
}

/** Of several for one label the first that is there counts. */
const IDS: readonly WantedKey[] = [
  { key: 'trace_id', label: TRACE_ID, spelling: 'hex32' }, // grafana/otel-profiling-go
  { key: 'otel_traceid', label: TRACE_ID, spelling: 'hex32' }, // polarsignals/otel-profiling-go
  { key: 'otel.traceid', label: TRACE_ID, spelling: 'hex32' },
  { key: 'trace id', label: TRACE_ID, spelling: 'hex32' }, // dd-trace-go
  { key: 'span_id', label: SPAN_ID, spelling: 'hex16' },
  { key: 'otel_spanid', label: SPAN_ID, spelling: 'hex16' },
  { key: 'otel.spanid', label: SPAN_ID, spelling: 'hex16' },
  { key: 'span id', label: SPAN_ID, spelling: 'decimal64' }, // dd-trace-go
  { key: 'profile_id', label: SPAN_ID, spelling: 'hex16' }, // before `span_id` was agreed upon
];

/** Labels that are not the program's own. */
const OURS: ReadonlySet<string> = new Set([
  'thread',
  'goroutine',
  'goroutine_created_by',
  'goroutine_kind',
]);

/** No name for an attribute that a program makes up: it would be read as what we say. */
export const isReserved = (label: string): boolean =>
  OURS.has(label) || label === TRACE_ID || label === SPAN_ID;

/**
 * Keys that the kernel side looks for, the position being the number of a key; those of
 * ids come first.
 * @param labels that profiles are to have, ours among them
 * @throws RangeError naming a key that is too long, or when there are too many
 */
export function wantedKeys(labels: Iterable<string>): WantedKey[] {
  const asked = new Set(labels);
  const wanted = IDS.filter(({ label }) => asked.has(label));
  for (const label of asked) {
    if (!isReserved(label)) wanted.push({ key: label, label, spelling: 'text' });
  }
  for (const { key } of wanted) {
    const bytes = Buffer.byteLength(key);
    if (bytes === 0 || bytes > KEY_BYTES) {
      throw new RangeError(`label "${key}" must have 1 to ${KEY_BYTES} bytes`);
    }
  }
  if (wanted.length > WANTED_KEYS) {
    throw new RangeError(`at most ${WANTED_KEYS} labels can be read, not ${wanted.length}`);
  }
  return wanted;
}

/** How many of them, the first ones, are keys of ids. */
export const idKeys = (wanted: readonly WantedKey[]): number =>
  wanted.filter(({ spelling }) => spelling !== 'text').length;

/**
 * The number by which the kernel side knows a key: one may be wanted twice, as an id
 * and as it stands.
 */
export function firstNumbers(wanted: readonly { readonly key: string }[]): Map<string, number> {
  const numbers = new Map<string, number>();
  for (const [number, { key }] of wanted.entries()) {
    if (!numbers.has(key)) numbers.set(key, number);
  }
  return numbers;
}

/** The value as profiles have it; undefined when it is none of its kind. */
export function canonicalValue(value: string, spelling: Spelling): string | undefined {
  switch (spelling) {
    case 'text':
      return value;
    case 'hex16':
      return hexId(value, 16);
    case 'hex32':
      return hexId(value, 32);
    case 'decimal64': {
      if (!/^[1-9][0-9]{0,19}$/.test(value)) return undefined;
      const number = BigInt(value);
      return number < 1n << 64n ? number.toString(16).padStart(16, '0') : undefined;
    }
  }
}

/** All zeros mean "none" to the standard. */
function hexId(value: string, digits: number): string | undefined {
  const isId = value.length === digits && /^[0-9a-fA-F]+$/.test(value) && /[^0]/.test(value);
  return isId ? value.toLowerCase() : undefined;
}
