/** A record of OTEP 4947 (thread context), as it lies in a program's memory. */

export interface ThreadRecord {
  /** 32 lower-case hex digits; '' = none. */
  readonly traceId: string;
  /** 16; '' = none. */
  readonly spanId: string;
  /** Number of a key in the process's key map, and its value. The last of several counts. */
  readonly attributes: ReadonlyMap<number, string>;
}

/** trace_id[16], span_id[8], valid, trace_flags, u16 size of what follows. */
export const THREAD_RECORD_HEAD = 28;
const SPAN_ID = 16;
const VALID = 24;
const SIZE = 26;

/**
 * Undefined when it is not valid, or its lengths contradict each other. Of a record that
 * was too long only the head has come: it has no attributes then.
 */
export function parseThreadRecord(bytes: Uint8Array): ThreadRecord | undefined {
  if (bytes.length < THREAD_RECORD_HEAD || bytes[VALID] !== 1) return undefined;
  const isHead = bytes.length === THREAD_RECORD_HEAD;
  const size = isHead ? 0 : bytes[SIZE]! + bytes[SIZE + 1]! * 256;
  const end = THREAD_RECORD_HEAD + size;
  if (end > bytes.length) return undefined;
  const traceId = idOf(bytes.subarray(0, SPAN_ID));
  const spanId = idOf(bytes.subarray(SPAN_ID, VALID));
  // Both or none: half of a pair is a record that nobody wrote so.
  if ((traceId === '') !== (spanId === '')) return undefined;
  const attributes = new Map<number, string>();
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  for (let at = THREAD_RECORD_HEAD; at + 2 <= end; ) {
    const next = at + 2 + bytes[at + 1]!;
    // The standard: a reader stops at an entry that is cut.
    if (next > end) break;
    attributes.set(bytes[at]!, decoder.decode(bytes.subarray(at + 2, next)));
    at = next;
  }
  return { traceId, spanId, attributes };
}

function idOf(bytes: Uint8Array): string {
  return bytes.some((byte) => byte !== 0) ? Buffer.from(bytes).toString('hex') : '';
}
