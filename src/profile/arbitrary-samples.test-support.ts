/** Random samples of few processes, stacks and names, so that many of them coincide. For tests only. */
import fc from 'fast-check';
import type { RawSample } from './fixture.test-support.ts';

/** Characters that mean something to some format, and some that are no characters. */
export const hostileText: fc.Arbitrary<string> = fc.oneof(
  fc.constantFrom(
    'a;b',
    'line\nbreak\r\n',
    '"quoted\\"',
    '</script><!--',
    '\u2028\u2029\u0085',
    '\ud800',
    '\udc00x',
    '\0',
    '__proto__',
    'constructor',
    ' 12',
    '',
    '💥',
    '\x1b[31m',
  ),
  fc.string({ unit: 'binary', maxLength: 40 }),
);

export const rawSample: fc.Arbitrary<RawSample> = fc.record({
  pid: fc.integer({ min: 1, max: 3 }),
  startLow: fc.constantFrom(0, 7, 0xffff_ffff),
  startHigh: fc.constantFrom(0, 1, 0x20_0000, 0x7fff_ffff, 0xffff_ffff),
  execId: fc.integer({ min: 0, max: 1 }),
  comm: fc.constantFrom('app', 'a;b', 'näme', ''),
  thread: fc.constantFrom('worker', 'main', ''),
  layout: fc.integer({ min: 0, max: 2 }),
  end: fc.integer({ min: 0, max: 18 }),
  labels: fc.integer({ min: 0, max: 2 }),
  kernel: fc.array(fc.integer({ min: 1, max: 6 }), { maxLength: 3 }),
  user: fc.array(fc.integer({ min: 1, max: 9 }), { maxLength: 4 }),
  weight: fc.integer({ min: 1, max: 5 }),
});

export const rawSamples: fc.Arbitrary<RawSample[]> = fc.array(rawSample, { maxLength: 60 });

export const fuzz = { seed: 20_260_101, numRuns: 100 } as const;
