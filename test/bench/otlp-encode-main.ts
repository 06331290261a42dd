/**
 * The OTLP encoder against the code that protobufjs generates for the same
 * request, in a process of their own: prints figures as JSON. `otlp-encode.ts`
 * starts it with the flags of V8 that each figure needs.
 */
import { encodeOtlp } from '../../src/profile/otlp.ts';
import { requestType } from '../../src/profile/otlp-messages.test-support.ts';
import { largeProfile } from './large-profile.ts';

const ROUNDS = 60;

/** Medians of CPU milliseconds; all take turns, so that a disturbance meets each. */
function medians(runs: readonly (() => unknown)[]): number[] {
  const times = runs.map((): number[] => []);
  for (let round = 0; round < 2 * ROUNDS; round++) {
    for (const [index, run] of runs.entries()) {
      const before = process.cpuUsage();
      run();
      const { user, system } = process.cpuUsage(before);
      // The first half is for the compiler.
      if (round >= ROUNDS) times[index]!.push((user + system) / 1000);
    }
  }
  return times.map((all) => all.sort((a, b) => a - b)[all.length >> 1]!);
}

/** Bytes that a run takes from V8 and for buffers, its result included. */
function allocated(run: () => unknown): number {
  const used = (): number => {
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    return heapUsed + arrayBuffers;
  };
  const sizes = Array.from({ length: 5 }, () => {
    globalThis.gc?.();
    const before = used();
    run();
    return used() - before;
  });
  return sizes.sort((a, b) => a - b)[2]!;
}

const profile = largeProfile();
const type = requestType();
const bytes = encodeOtlp(profile);
const built = type.decode(bytes);
const plain = type.toObject(built, { longs: Number });
const [ours, encode, buildAndEncode] = medians([
  () => encodeOtlp(profile),
  () => type.encode(built).finish(),
  () => type.encode(type.fromObject(plain)).finish(),
]);
const result = {
  ours,
  encode,
  buildAndEncode,
  bytes: bytes.length,
  allocated: allocated(() => encodeOtlp(profile)),
};
process.stdout.write(`${JSON.stringify(result)}\n`);
