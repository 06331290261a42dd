/**
 * The OTLP encoder against the code that protobufjs generates for the same
 * request, in a process of their own: prints figures as JSON. `otlp-encode.ts`
 * starts it with the flags of V8 that each figure needs.
 */
import type { FunctionName, Label, Location, Profile } from '../../src/profile/model.ts';
import { encodeOtlp } from '../../src/profile/otlp.ts';
import { requestType } from '../../src/profile/otlp-messages.test-support.ts';
import { nanoseconds, unixTime } from '../../src/units/units.ts';

const SAMPLES = 50_000;
const STACKS = 5000;
const FRAMES = 30;
const FUNCTIONS = 6000;
const LOCATIONS = 12_000;
const PROCESSES = 25;
const ROUNDS = 60;

/** A profile of the size that the aim names. Stacks share their roots, as real ones do. */
function largeProfile(): Profile {
  // A plain generator of numbers, so that each run has the same profile.
  let state = 12_345;
  const random = (below: number): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return (state >>> 8) % below;
  };
  const functions = Array.from({ length: FUNCTIONS }, (_, index): FunctionName => {
    const name = `service::module_${index % 97}::Handler<${index}>::run(int, char const*)`;
    return {
      name,
      shortName: name,
      systemName: `_ZN7service9module_${index % 97}7HandlerILi${index}EE3runEiPKc`,
      file: `/usr/src/service/module_${index % 400}/handler.cc`,
      startLine: 10 + (index % 900),
      unnamed: false,
    };
  });
  const locations = Array.from({ length: LOCATIONS }, (_, index): Location => {
    const line = { function: index % FUNCTIONS, line: 12 + (index % 950), column: 0 };
    const inlined = { function: (index * 7) % FUNCTIONS, line: 3 + (index % 80), column: 0 };
    return {
      mapping: 1 + (index % 20),
      address: 0x40_0000 + index * 64,
      type: 'native',
      lines: index % 4 === 0 ? [inlined, line] : [line],
    };
  });
  const stacks = Array.from({ length: STACKS }, (_, stack) =>
    Uint32Array.from({ length: FRAMES }, (_, depth) =>
      depth < 22 ? random(LOCATIONS) : (stack % 50) * FRAMES + depth,
    ),
  );
  const traced = (index: number): Label[] => [
    { key: 'trace_id', value: (index + 1).toString(16).padStart(32, '0') },
    { key: 'span_id', value: (index + 1).toString(16).padStart(16, '0') },
  ];
  const column = (value: (row: number) => number): Uint32Array =>
    Uint32Array.from({ length: SAMPLES }, (_, row) => value(row));
  return {
    startTime: unixTime(1_790_000_000_000_000_000n),
    duration: nanoseconds(10e9),
    period: nanoseconds(10_101_010),
    mappings: Array.from({ length: 21 }, (_, index) => ({
      start: 0x40_0000,
      end: 0x400_0000,
      fileOffset: 0,
      file: index === 0 ? '' : `/usr/lib/x86_64-linux-gnu/libservice-${index}.so.1`,
      buildId: index === 0 ? '' : index.toString(16).padStart(40, 'b'),
      goBuildId: '',
    })),
    functions,
    locations,
    stacks,
    processes: Array.from({ length: PROCESSES }, (_, index) => ({
      pid: 1000 + index,
      name: `service-${index}`,
      executable: `/usr/bin/service-${index}`,
      startNs: index,
      execId: 1,
    })),
    threads: [''],
    labelSets: [[], ...Array.from({ length: 1000 }, (_, index) => traced(index))],
    samples: {
      length: SAMPLES,
      // Every stack ten times, each time in another process or request.
      stack: column((row) => row % STACKS),
      process: column((row) => (row % STACKS) % PROCESSES),
      labels: column((row) =>
        row < STACKS ? 0 : 1 + ((row + 37 * Math.floor(row / STACKS)) % 1000),
      ),
      thread: column(() => 0),
      count: column((row) => 1 + (row % 5)),
    },
    tally: {
      taken: 3 * SAMPLES,
      exported: 3 * SAMPLES,
      lost: {},
      truncated: {},
      deferred: {},
      labelsLost: {},
      framesNamed: 3 * SAMPLES * FRAMES,
      framesUnnamed: 0,
      eventsLost: {},
      problems: {},
    },
    host: 'bench',
  };
}

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
