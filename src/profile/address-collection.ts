/**
 * From aggregated rows to questions for the resolver: each address once per
 * process instance and layout, kernel addresses once.
 */
import { AddressAllowance } from './address-allowance.ts';
import { type Aggregated, GOROUTINE_WORDS } from './aggregator.ts';
import { WordTable } from './word-table.ts';

/** `AddressQueries.instance` of kernel addresses. */
export const KERNEL_INSTANCE = 0xffff_ffff;

/** Columns, so that they can be transferred to the resolver's thread. */
export interface AddressQueries {
  readonly length: number;
  /** Index into `Aggregated.instances`, or KERNEL_INSTANCE. */
  readonly instance: Uint32Array;
  /** Layout generation; 0 for kernel addresses. */
  readonly layout: Uint32Array;
  /** Address words as the kernel side sent them: bit 31 of `high` says exact pc in user addresses. */
  readonly low: Uint32Array;
  readonly high: Uint32Array;
  /** How many frames of samples have the address. */
  readonly samples: Float64Array;
}

export interface AddressCollection {
  readonly queries: AddressQueries;
  /** Index into `start` for each row of the aggregate. */
  readonly rowStack: Uint32Array;
  /** Frames of stack s are `frames[start[s]]` up to `start[s + 1]`, leaf first. */
  readonly start: Uint32Array;
  /** Indices into the queries. */
  readonly frames: Uint32Array;
  /** By stack: 1 = its process has too many addresses, and the rest of its frames is left out. */
  readonly cut: Uint8Array;
  /**
   * By goroutine: indices into the queries of the addresses of its creator
   * (`[2 * i]`) and its first function (`[2 * i + 1]`); NO_QUERY = none.
   */
  readonly goroutines: Uint32Array;
}

export const NO_QUERY = 0xffff_ffff;
/** As bpf/record.h marks it: not a return address. */
const EXACT_HIGH = 0x8000_0000;

const queryWords = 4;
const contextWords = 3;

export function collectAddresses(aggregated: Aggregated): AddressCollection {
  const { stacks } = aggregated;
  // A raw stack means something only together with the instance and its layout.
  const contexts = new WordTable();
  const key = new Uint32Array(queryWords);
  const rowStack = new Uint32Array(aggregated.rows);
  const contextSamples = new Float64Array(aggregated.rows);
  for (let row = 0; row < aggregated.rows; row++) {
    key[0] = aggregated.instance[row]!;
    key[1] = aggregated.layout[row]!;
    key[2] = aggregated.stack[row]!;
    const context = contexts.intern(key, 0, contextWords, 0);
    rowStack[row] = context;
    contextSamples[context] = contextSamples[context]! + aggregated.count[row]!;
  }

  const contextKeys = contexts.words;
  let most = 0;
  for (let context = 0; context < contexts.length; context++) {
    const stack = contextKeys[context * contextWords + 2]!;
    most += (stacks.start[stack + 1]! - stacks.start[stack]!) / 2;
  }

  const queries = new WordTable();
  const allowance = new AddressAllowance(aggregated);
  const start = new Uint32Array(contexts.length + 1);
  const cut = new Uint8Array(contexts.length);
  const frames = new Uint32Array(most);
  let frame = 0;
  for (let context = 0; context < contexts.length; context++) {
    const instance = contextKeys[context * contextWords]!;
    const stack = contextKeys[context * contextWords + 2]!;
    const firstWord = stacks.start[stack]!;
    const kernelEnd = firstWord + 2 * stacks.kernelCount[stack]!;
    for (let word = firstWord; word < stacks.start[stack + 1]!; word += 2) {
      const isKernel = word < kernelEnd;
      key[0] = isKernel ? KERNEL_INSTANCE : instance;
      key[1] = isKernel ? 0 : contextKeys[context * contextWords + 1]!;
      key[2] = stacks.words[word]!;
      key[3] = stacks.words[word + 1]!;
      const query = isKernel
        ? queries.intern(key, 0, queryWords, 0)
        : allowance.intern(queries, instance, key, queryWords);
      if (query < 0) {
        cut[context] = 1;
        break;
      }
      frames[frame++] = query;
    }
    start[context + 1] = frame;
  }
  const goroutines = collectGoroutines(aggregated, queries, allowance);
  const samples = new Float64Array(queries.length);
  for (let context = 0; context < contexts.length; context++) {
    for (let frame = start[context]!; frame < start[context + 1]!; frame++) {
      const query = frames[frame]!;
      samples[query] = samples[query]! + contextSamples[context]!;
    }
  }
  return { queries: columnsOf(queries, samples), rowStack, start, frames, cut, goroutines };
}

function collectGoroutines(
  { goroutines }: Aggregated,
  queries: WordTable,
  allowance: AddressAllowance,
): Uint32Array {
  const collected = new Uint32Array(goroutines.length * 2);
  const key = new Uint32Array(queryWords);
  for (let i = 0; i < goroutines.length; i++) {
    const at = i * GOROUTINE_WORDS;
    const [instance, layout, , , , low, high, startLow, startHigh] = goroutines.words.subarray(
      at,
      at + GOROUTINE_WORDS,
    );
    const query = (low: number, high: number, exact: number): number => {
      // Beyond the addresses of user space lies no function.
      if ((low === 0 && high === 0) || high > 0x7fff) return NO_QUERY;
      key[0] = instance!;
      key[1] = layout!;
      key[2] = low;
      key[3] = high | exact;
      const known = allowance.intern(queries, instance!, key, queryWords);
      return known < 0 ? NO_QUERY : known;
    };
    collected[2 * i] = query(low!, high!, 0);
    collected[2 * i + 1] = query(startLow!, startHigh!, EXACT_HIGH);
  }
  return collected;
}

function columnsOf(table: WordTable, samples: Float64Array): AddressQueries {
  const { length, words } = table;
  const column = (field: number): Uint32Array => {
    const values = new Uint32Array(length);
    for (let i = 0; i < length; i++) values[i] = words[i * queryWords + field]!;
    return values;
  };
  return {
    length,
    instance: column(0),
    layout: column(1),
    low: column(2),
    high: column(3),
    samples,
  };
}
