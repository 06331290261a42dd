/** A profile of the size that the aims for delivery name. */
import type { FunctionName, Label, Location, Profile } from '../../src/profile/model.ts';
import { bootTime, nanoseconds, unixTime } from '../../src/units/units.ts';

const SAMPLES = 50_000;
const STACKS = 5000;
const FRAMES = 30;
const FUNCTIONS = 6000;
const LOCATIONS = 12_000;
const PROCESSES = 25;

/** Stacks share their roots, as real ones do. */
export function largeProfile(): Profile {
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
      startNs: bootTime(BigInt(index)),
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
      timingMs: {},
    },
    host: 'bench',
  };
}
