import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { balanced, DELIVERED, DOWN, profileOf } from './backend.test-support.ts';
import { HEADER_BYTES } from './entry.ts';
import { FaultWorld } from './fault-world.test-support.ts';
import { settled } from './simulated-clock.test-support.ts';

describe('a queue that is not as it was written', () => {
  const SIZE = 100;
  const ENTRY = HEADER_BYTES + SIZE;
  const request = (index: number): string => String(index).padEnd(SIZE, '.');

  /** Five requests in one file, of an agent that has stopped; what is done to the file. */
  async function damaged(harm: (file: Buffer) => Buffer | number): Promise<FaultWorld> {
    const world = new FaultWorld();
    world.down();
    const first = world.open();
    first.accept(profileOf(...[0, 1, 2, 3, 4].map(request)));
    await first.close(0);
    const files = [...world.disk.names].filter(([name]) => name.endsWith('.queue'));
    assert.equal(files.length, 1);
    const [[, file]] = files as [(typeof files)[number]];
    assert.equal(file.data.length, 5 * ENTRY);
    const harmed = Buffer.from(file.data);
    const other = harm(harmed);
    file.data = Buffer.isBuffer(other) ? other : harmed;
    world.up();
    return world;
  }

  async function outcome(world: FaultWorld): Promise<object> {
    const exporter = world.open();
    await settled();
    const { recovered, dropped, sent } = balanced(exporter.stats());
    await exporter.close(0);
    const aside = [...world.disk.names.keys()].filter((name) => name.endsWith('.damaged'));
    const arrived = world.backend.received.map((one) => Number.parseInt(one, 10));
    return { arrived, recovered, dropped, sent, aside: aside.length };
  }

  const cases: [string, (file: Buffer) => Buffer | number, number[]][] = [
    ['a request', (file) => file.fill(0xa5, 2 * ENTRY + 50, 2 * ENTRY + 60), [0, 1, 3, 4]],
    ['a header', (file) => file.fill(0, 2 * ENTRY, 2 * ENTRY + 8), [0, 1, 3, 4]],
    ['the first header', (file) => file.fill(0xff, 0, 32), [1, 2, 3, 4]],
    ['two entries', (file) => file.fill(0, ENTRY + 10, 3 * ENTRY - 10), [0, 3, 4]],
    [
      'two entries apart',
      (file) => file.fill(0, ENTRY, ENTRY + 1).fill(0, 3 * ENTRY, 3 * ENTRY + 1),
      [0, 2, 4],
    ],
    ['a length', (file) => file.writeUInt32LE(0x7fff_ffff, 2 * ENTRY + 4), [0, 1, 3, 4]],
    [
      // What follows moved to where it is not looked for: it costs that one, too.
      'bytes that are missing',
      (file) => Buffer.concat([file.subarray(0, 2 * ENTRY + 40), file.subarray(3 * ENTRY)]),
      [0, 1, 4],
    ],
  ];
  for (const [what, harm, arrived] of cases) {
    test(`in the middle: ${what}; all others arrive, and what is lost is counted and kept aside`, async () => {
      const world = await damaged(harm);
      const { aside, ...found } = (await outcome(world)) as { aside: number };
      const lost = 5 - arrived.length;
      const dropped = { damaged: lost };
      assert.deepEqual(found, { arrived, recovered: 5, dropped, sent: 5 - lost });
      assert.ok(aside > 0);
      assert.match(world.warnings.join('\n'), /queue_damaged/);
    });
  }

  test('an entry that was delivered before is no loss', async () => {
    const world = new FaultWorld();
    let answers = 2;
    world.backend.answer = () => (answers-- > 0 ? DELIVERED : DOWN);
    const first = world.open();
    first.accept(profileOf(...[0, 1, 2].map(request)));
    await settled();
    await first.close(0);
    const [, file] = [...world.disk.names].find(([name]) => name.endsWith('.queue'))!;
    file.data.fill(0, ENTRY, ENTRY + 8);
    world.up();
    const found = (await outcome(world)) as { dropped: object; arrived: number[] };
    assert.deepEqual(found.dropped, {});
    assert.deepEqual(found.arrived, [0, 1, 2]);
  });

  test('under a running agent: a header, and more than one', async () => {
    const world = new FaultWorld();
    world.down();
    const exporter = world.open();
    exporter.accept(profileOf(...[0, 1, 2, 3, 4, 5, 6].map(request)));
    await settled();
    const [, file] = [...world.disk.names].find(([name]) => name.endsWith('.queue'))!;
    file.data.fill(0xa5, ENTRY + 5, ENTRY + 45).fill(0, 3 * ENTRY + 9, 5 * ENTRY - 9);
    world.up();
    await world.clock.advance(60_000);
    const arrived = world.backend.received.map((one) => Number.parseInt(one, 10));
    assert.deepEqual(arrived, [0, 2, 5, 6]);
    const { dropped, recovered } = balanced(exporter.stats());
    assert.deepEqual({ dropped, recovered }, { dropped: { damaged: 3 }, recovered: 0 });
    await exporter.close(0);
  });

  test('no entry is left: the agent goes on', async () => {
    const world = await damaged((file) => file.fill(0x5a));
    const exporter = world.open();
    exporter.accept(profileOf('after'));
    await settled();
    assert.deepEqual(world.backend.received, ['after']);
    assert.ok(balanced(exporter.stats()).dropped.damaged! >= 1);
    await exporter.close(0);
  });
});
