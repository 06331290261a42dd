/** Walks drained records: finished samples to the aggregator, all else to the resolver. */
import type { Aggregator } from '../profile/aggregator.ts';
import { DEFERRED_SHIFT, Header, RecordType, Sample } from './record.ts';

const word = (offset: number): number => offset >> 2;
const firstAddress = word(Sample.size);

export interface Decoded {
  /** Samples counted: finished ones, and those that were not deferred after all. */
  readonly samples: number;
  /** Records other than samples among what goes to the resolver. */
  readonly events: number;
  /** Bytes of records for the resolver, moved to the front of the buffer. */
  readonly forwarded: number;
  /** 1 when a record contradicted itself: the rest of the buffer was given up. */
  readonly malformed: number;
}

export interface DecodeOptions {
  /** Count threads of one process apart, by name. */
  readonly threads: boolean;
  /** Whether there is room for a deferred sample; otherwise it is counted as it is, without its copied stack. */
  admits?(pid: number, bytes: number): boolean;
}

/**
 * @param buffer the drained bytes, records padded to 8 bytes; what the resolver
 *   must see is compacted in place.
 */
export function decode(
  buffer: ArrayBuffer,
  length: number,
  aggregator: Aggregator,
  options: DecodeOptions,
): Decoded {
  const words = new Uint32Array(buffer);
  const bytes = new Uint8Array(buffer);
  let samples = 0;
  let events = 0;
  let forwarded = 0;
  for (let at = 0; at < length; ) {
    const first = at >> 2;
    const size = at + Header.size <= length ? words[first + word(Header.length)]! : 0;
    const padded = Math.ceil(size / 8) * 8;
    if (size < Header.size || at + padded > length) {
      return { samples, events, forwarded, malformed: 1 };
    }
    const type = words[first + word(Header.type)]! & 0xffff;
    const isDeferred = type === RecordType.Deferred;
    const isRefused =
      isDeferred && options.admits?.(words[first + word(Header.pid)]!, padded) === false;
    if (type === RecordType.Sample || isRefused) {
      if (size < Sample.size || size < sampleSize(words, first)) {
        return { samples, events, forwarded, malformed: 1 };
      }
      addSample(words, first, aggregator, options.threads);
      samples++;
    } else {
      if (!isDeferred) events++;
      if (forwarded !== at) bytes.copyWithin(forwarded, at, at + padded);
      forwarded += padded;
    }
    at += padded;
  }
  return { samples, events, forwarded, malformed: 0 };
}

/** Bytes that a sample needs for the addresses and labels that it says to have. */
function sampleSize(words: Uint32Array, first: number): number {
  const counts = words[first + word(Sample.kernelCount)]!;
  const labels = words[first + word(Sample.labelBytes)]! & 0xffff;
  return Sample.size + 8 * ((counts & 0xffff) + (counts >>> 16)) + labels;
}

function addSample(
  words: Uint32Array,
  first: number,
  aggregator: Aggregator,
  threads: boolean,
): void {
  const comm = aggregator.comm(words, first + word(Sample.comm));
  const identity = first + word(Header.pid);
  const instance = aggregator.instance(
    words[identity]!,
    words[identity + 2]!,
    words[identity + 3]!,
    words[identity + 1]!,
    comm,
  );
  const counts = words[first + word(Sample.kernelCount)]!;
  const state = words[first + word(Sample.end)]!;
  const layout = words[first + word(Sample.layout)]!;
  const goState = words[first + word(Sample.goState)]!;
  const goroutine = aggregator.goroutine(
    instance,
    layout,
    goState,
    words,
    first + word(Sample.goid),
  );
  const addresses = (counts & 0xffff) + (counts >>> 16);
  const context = words[first + word(Sample.labelBytes)]!;
  const labels = aggregator.context(
    instance,
    (context >>> 16) & 0xff,
    words,
    first + firstAddress + 2 * addresses,
    (context & 0xffff) >> 2,
  );
  aggregator.add(
    instance,
    layout,
    state & 0xffff,
    threads ? aggregator.comm(words, first + word(Sample.thread)) : comm,
    aggregator.labels(goroutine, labels),
    words,
    first + firstAddress,
    counts & 0xffff,
    counts >>> 16,
    1,
    (state >>> (16 + DEFERRED_SHIFT)) - 1,
  );
}
