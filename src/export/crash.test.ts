/**
 * The real queue and sender under commands that fast-check makes up, with agents
 * that die in any write. The commands are the transitions of test/models/queue.pml,
 * and what is checked after each is what that model proves.
 */
import { test } from 'node:test';
import fc from 'fast-check';
import { DELIVERED, DOWN } from './backend.test-support.ts';
import { CrashWorld, MAX_STEPS } from './crash-world.test-support.ts';

type Step = (world: CrashWorld) => void | Promise<void>;
interface Command {
  readonly name: string;
  readonly step: Step;
}

const named = (name: string, step: Step) => fc.constant<Command>({ name, step });

const accept = named('accept', (world) => world.accept());
const delivered = named('delivered', (world) => world.answer(DELIVERED));
const failed = named('failed', (world) => world.answer(DOWN));
const refused = named('refused', (world) =>
  world.answer({ kind: 'refused', reason: '400', message: '' }),
);
/** Requests that try whether all are meant come after minutes: mendable.test.ts has these. */
const faulty = named('faulty', (world) =>
  world.answer({ kind: 'retry', fault: 'unauthenticated', reason: '401', mend: '' }),
);
const waited = fc.constantFrom(10, 1000, 30_000).map((ms) => ({
  name: `wait ${ms}`,
  step: (world: CrashWorld) => world.wait(ms),
}));
const stopped = named('stop', (world) => world.stop());
const killed = named('kill', (world) => world.die());
/** In one of the next changes of the disk, a part of which is made. */
const doomed = fc.tuple(fc.integer({ min: 1, max: 8 }), fc.double({ min: 0, max: 1, noNaN: true }));
const dying = doomed.map(([changes, torn]) => ({
  name: `die in ${changes}, ${torn} of it written`,
  step: (world: CrashWorld) => {
    world.disk.fuse = changes;
    world.disk.torn = torn;
  },
}));
const withoutPower = fc
  .infiniteStream(fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }))
  .map((stream) => ({
    name: 'lose power',
    step: (world: CrashWorld) => world.losePower(() => stream.next().value),
  }));
const diskFull = fc.nat(100).map((room) => ({
  name: `${room} bytes left`,
  step: (world: CrashWorld) => world.setDisk(undefined, room),
}));
const readOnly = named('read only', (world) => world.setDisk('EROFS', Number.POSITIVE_INFINITY));
const mended = named('mended', (world) => world.setDisk(undefined, Number.POSITIVE_INFINITY));

const NORMAL = [
  { weight: 8, arbitrary: accept },
  { weight: 5, arbitrary: delivered },
  { weight: 2, arbitrary: failed },
  { weight: 1, arbitrary: refused },
  { weight: 1, arbitrary: faulty },
  { weight: 3, arbitrary: waited },
  { weight: 1, arbitrary: stopped },
];
const KILLS = [
  { weight: 1, arbitrary: killed },
  { weight: 3, arbitrary: dying },
];
const FAULTS = [
  { weight: 2, arbitrary: withoutPower },
  { weight: 1, arbitrary: diskFull },
  { weight: 1, arbitrary: readOnly },
  { weight: 2, arbitrary: mended },
];

async function holds(commands: fc.MaybeWeightedArbitrary<Command>[], runs: number): Promise<void> {
  const plan = fc.array(fc.oneof(...commands), { maxLength: MAX_STEPS });
  // 3: each segment holds one entry; 100: three.
  const capacity = fc.constantFrom(3, 6, 100);
  const property = fc.asyncProperty(capacity, plan, async (entries, steps) => {
    const world = new CrashWorld(entries);
    for (const { step } of steps) await world.step(step);
    await world.end();
  });
  await fc.assert(property, { seed: 5, numRuns: runs });
}

test('without faults every request arrives in order, or is counted', () => holds(NORMAL, 100));

test('agents that are killed in any write lose nothing, and repeat one request each', () =>
  holds([...NORMAL, ...KILLS], 1000));

test('losses of power and bad disks cost what is stated, and never the order', () =>
  holds([...NORMAL, ...KILLS, ...FAULTS], 1000));
