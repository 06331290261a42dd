import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseSideband, type SidebandEvent } from './sideband.ts';

/** A perf record: header, body, sample_id of pid, tid and time. */
function record(type: number, misc: number, body: Uint8Array, pid: number, time: bigint) {
  const bytes = new Uint8Array(8 + body.length + 16);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, type, true);
  view.setUint16(4, misc, true);
  view.setUint16(6, bytes.length, true);
  bytes.set(body, 8);
  view.setUint32(8 + body.length, pid, true);
  view.setBigUint64(16 + body.length, time, true);
  return bytes;
}

interface Mmap2 {
  readonly pid: number;
  readonly start: bigint;
  readonly length: bigint;
  readonly protection: number;
  readonly name: string;
}

function mmap2({ pid, start, length, protection, name }: Mmap2, time = 99n): Uint8Array {
  const text = new TextEncoder().encode(name);
  const body = new Uint8Array(64 + ((text.length + 8) & ~7));
  const view = new DataView(body.buffer);
  view.setUint32(0, pid, true);
  view.setUint32(4, pid + 1, true);
  view.setBigUint64(8, start, true);
  view.setBigUint64(16, length, true);
  view.setBigUint64(24, 0x2000n, true);
  view.setUint32(32, 8, true);
  view.setUint32(36, 1, true);
  view.setBigUint64(40, 1234n, true);
  view.setBigUint64(48, 5n, true);
  view.setUint32(56, protection, true);
  view.setUint32(60, 2, true);
  body.set(text, 64);
  return record(10, 2, body, pid, time);
}

function comm(pid: number, isExec: boolean, time = 98n): Uint8Array {
  const body = new Uint8Array(16);
  new DataView(body.buffer).setUint32(0, pid, true);
  body.set(new TextEncoder().encode('name'), 8);
  return record(3, isExec ? 1 << 13 : 0, body, pid, time);
}

const join = (...parts: Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts));

function parse(bytes: Uint8Array): { events: SidebandEvent[]; lost: number } {
  const events: SidebandEvent[] = [];
  const lost = parseSideband(bytes, (event) => events.push(event));
  return { events, lost };
}

const library: Mmap2 = {
  pid: 42,
  start: 0x7f0000001000n,
  length: 0x3000n,
  protection: 5,
  name: '/lib/größe.so',
};

test('an executable mapping, field by field', () => {
  const { events, lost } = parse(mmap2(library));
  assert.equal(lost, 0);
  assert.deepEqual(events, [
    {
      kind: 'mapping',
      time: 99,
      pid: 42,
      mapping: {
        start: 0x7f0000001000,
        end: 0x7f0000004000,
        offset: 0x2000,
        device: 8 * 2 ** 20 + 1,
        inode: 1234n,
        generation: 5,
        path: '/lib/größe.so',
      },
    },
  ]);
});

test('exec is told from renaming, data from code', () => {
  const bytes = join(
    comm(1, true),
    comm(2, false),
    mmap2({ ...library, protection: 3 }),
    mmap2(library),
  );
  assert.deepEqual(
    parse(bytes).events.map(({ kind, pid, time }) => [kind, pid, time]),
    [
      ['image', 1, 98],
      ['mapping', 42, 99],
    ],
  );
});

test('names of any length end where the kernel ended them', () => {
  for (let length = 0; length < 40; length++) {
    const name = `/${'x'.repeat(length)}`;
    const [event] = parse(mmap2({ ...library, name })).events;
    assert.ok(event?.kind === 'mapping');
    assert.equal(event.mapping.path, name);
  }
});

test('what the kernel could not deliver is summed', () => {
  const body = new Uint8Array(16);
  new DataView(body.buffer).setBigUint64(8, 7n, true);
  const lost = record(2, 0, body, 0, 0n);
  assert.equal(parse(join(lost, mmap2(library), lost)).lost, 14);
});

test('mappings without length or beyond exact numbers are none', () => {
  const odd = [
    { ...library, length: 0n },
    { ...library, start: 0xffffffffff600000n, length: 0x1000n },
    { ...library, length: 2n ** 63n },
  ];
  assert.deepEqual(parse(join(...odd.map((one) => mmap2(one)))), { events: [], lost: 0 });
});

test('cut off anywhere: what came before the cut is kept, the rest counts as lost', () => {
  const whole = join(comm(1, true), mmap2(library), comm(1, true));
  const ends = [comm(1, true).length, comm(1, true).length + mmap2(library).length];
  for (let cut = 0; cut < whole.length; cut++) {
    const { events, lost } = parse(whole.subarray(0, cut));
    const complete = ends.filter((end) => end <= cut).length;
    assert.equal(events.length, complete, `cut at ${cut}`);
    const rest = cut - (ends[complete - 1] ?? 0);
    assert.equal(lost, rest >= 8 ? 1 : 0, `cut at ${cut}`);
  }
});

test('any damage is survived', () => {
  const whole = join(comm(1, true), mmap2(library), comm(2, false), mmap2(library));
  const damage = fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { maxLength: 20 });
  fc.assert(
    fc.property(damage, fc.nat(3), (changes, shift) => {
      // At any alignment of the buffer.
      const bytes = new Uint8Array(whole.length + shift).subarray(shift);
      bytes.set(whole);
      for (const [at, value] of changes) bytes[at] = value;
      for (const event of parse(bytes).events) {
        if (event.kind === 'mapping') assert.ok(event.mapping.start < event.mapping.end);
      }
    }),
    { seed: 7, numRuns: 3000 },
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => void parse(bytes)),
    { seed: 8, numRuns: 1000 },
  );
});
