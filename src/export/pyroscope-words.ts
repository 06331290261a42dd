/**
 * What Pyroscope says in texts only, by its push API and in answers to OTLP alike: its codes and
 * statuses would have a request given up that it takes later, or in parts.
 */

/**
 * Sizes that are limited per tenant, so that smaller requests may pass:
 * a message (connect-go), the profiles of a request, a profile, its samples.
 */
const SIZE =
  /message size \d+ is larger than|payload size exceeds limit|exceeds the size limit|exceeds the samples count limit/;

/** It hands on errors of its parts as texts: a restarting writer is none of ours. */
const PASSING = /code = (Aborted|Canceled|DeadlineExceeded|ResourceExhausted|Unavailable)\b/;

/** Of each series that found no room, its size as Pyroscope stores it; those with room are not told. */
const RATE = /push rate limit \([^)]*\) exceeded while adding ([\d.]+) (B|KiB|MiB|GiB)/g;
const UNITS: Readonly<Record<string, number>> = { B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 };

export const speaksOfSize = (text: string): boolean => SIZE.test(text);

export const passesLater = (text: string): boolean => PASSING.test(text);

/**
 * Bytes of a request that a rate limit refused, about: those that were told of are taken for its usual ones.
 * Undefined when the text speaks of no such limit. @param series of the request
 */
export function overRate(text: string, series: number): number | undefined {
  let bytes = 0;
  let told = 0;
  for (const [, size, unit] of text.matchAll(RATE)) {
    bytes += Number(size) * UNITS[unit!]!;
    told++;
  }
  return told === 0 ? undefined : (bytes / told) * Math.max(told, series);
}

/**
 * A request that is more than a tenant may send at once is refused for ever, also in
 * part: of sixty series twenty-eight, other ones each time. Small ones pass with time.
 */
export const SMALL_BYTES = 262_144;
