import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  compareRecorded,
  compareStack,
  parseMaps,
  parseReferenceLine,
  runReference,
  vdsoImage,
} from './compare-stacks.ts';
import { buildProgram } from './programs.ts';
import { type Frame, pairRecorded, type RecordedStack } from './recorded-stacks.ts';

const judge = {
  exists: (path: string) => path !== '/gone',
  isGo: (path: string) => path === '/go',
};
const maps = parseMaps(
  [
    '1000-2000 r-xp 00001000 08:01 5 /bin/one',
    '2000-3000 r--p 00002000 08:01 5 /bin/one',
    '5000-6000 r-xp 00000000 00:00 0 ',
    '7000-8000 r-xp 00000000 08:01 6 /go',
    '9000-a000 r-xp 00000000 08:01 7 /gone',
    'b000-c000 r-xp 00000000 00:00 0 [vdso]',
  ].join('\n'),
);
const stack = (...words: string[]): Frame[] => [
  ...parseReferenceLine(`0 ${words.join(' ')} end`).stack.frames,
];

// Only executable mappings matter, and paths may be empty.
test('maps are parsed', () => {
  assert.deepEqual(
    maps.map((map) => [map.start, map.path]),
    [
      [0x1000n, '/bin/one'],
      [0x5000n, ''],
      [0x7000n, '/go'],
      [0x9000n, '/gone'],
      [0xb000n, '[vdso]'],
    ],
  );
});

// Each verdict on hand-made stacks.
test('verdicts', () => {
  const verdict = (ours: Frame[], line: string) =>
    compareStack(ours, parseReferenceLine(`0 ${line}`).stack, maps, judge);
  assert.deepEqual(verdict(stack('1010!', '1020', '1030'), '1010! 1020 1030 end'), {
    kind: 'equal',
  });
  assert.deepEqual(verdict(stack('1010!', '1020', '1030'), '1010! 1020 short'), { kind: 'agrees' });
  assert.deepEqual(verdict(stack('1010!', '1020'), '1010! 1020 1030 end'), {
    kind: 'short',
    at: 2,
  });
  assert.deepEqual(verdict(stack('1010!', '1020'), '1010! 1020 1030 short'), {
    kind: 'short',
    at: 2,
  });
  assert.deepEqual(verdict(stack('1010!', '1024'), '1010! 1020 end'), { kind: 'differs', at: 1 });
  assert.deepEqual(verdict(stack('1010!', '1020', '1030'), '1010! 1020 end'), {
    kind: 'differs',
    at: 2,
  });
  assert.deepEqual(verdict(stack('1010!', '1020!'), '1010! 1020 end'), { kind: 'differs', at: 1 });
  assert.deepEqual(verdict(stack('b010!', '1020'), 'b010! 1020 end'), { kind: 'equal' });
  assert.deepEqual(verdict(stack('5010!', '1020'), '5010! no_rules'), {
    kind: 'excluded',
    why: 'jit',
  });
  assert.deepEqual(verdict(stack('7010!'), '7010! end'), { kind: 'excluded', why: 'go' });
  assert.deepEqual(verdict(stack('9010!'), '9010! end'), { kind: 'excluded', why: 'file_gone' });
});

// Ours may have 1,024 frames; that it ends there is no disagreement, a wrong frame before is.
test('the depth limit is no disagreement', () => {
  const deep = stack('1010!', ...Array(1099).fill('1020'));
  const reference = { frames: deep, reason: 'end' };
  const ours = deep.slice(0, 1024);
  assert.deepEqual(compareStack(ours, reference, maps, judge), { kind: 'agrees' });
  ours[700] = { address: 0x1024n, exact: false };
  assert.deepEqual(compareStack(ours, reference, maps, judge), { kind: 'differs', at: 700 });
});

// A return address one past the end of a mapping belongs to that mapping.
test('return addresses are looked up one byte earlier', () => {
  const reference = parseReferenceLine('0 1010! 6000 end').stack;
  assert.equal(compareStack(stack('1010!', '6000'), reference, maps, judge).kind, 'excluded');
});

function sampleRecord(type: number, tid: number, time: bigint, body: Uint8Array): Uint8Array {
  const record = new Uint8Array(120 + body.length);
  const view = new DataView(record.buffer);
  view.setUint32(0, record.length, true);
  view.setUint16(4, type, true);
  view.setBigUint64(8, time, true);
  view.setUint32(16, 77, true);
  view.setUint32(32, tid, true);
  record.set(Buffer.from('some-comm'), 64);
  record.set(body, 120);
  return record;
}

function words(values: bigint[]): Uint8Array {
  return new Uint8Array(BigUint64Array.from(values).buffer);
}

/** The two records of one sample, as the recorder mode writes them. */
function recordedPair(recorded: RecordedStack, frames: readonly Frame[]): Uint8Array[] {
  const users = frames.map((frame) => frame.address | (frame.exact ? 1n << 63n : 0n));
  const unwound = sampleRecord(1, recorded.tid, recorded.timeNs, words([...users]));
  new DataView(unwound.buffer).setUint16(42, users.length, true);
  const copy = new Uint8Array(1416 + recorded.bytes.length);
  copy.set(words([...recorded.registers, 0n, recorded.base]));
  new DataView(copy.buffer).setUint32(152, recorded.bytes.length, true);
  copy.set(recorded.bytes, 1416);
  return [unwound, sampleRecord(2, recorded.tid, recorded.timeNs, copy)];
}

// Halves are paired by thread and time in any order; half a sample is left out.
test('recorded samples are paired', () => {
  const half = (tid: number, time: bigint): RecordedStack => ({
    pid: 77,
    tid,
    comm: 'some-comm',
    timeNs: time,
    end: 0,
    frames: stack('1010!', '1020'),
    registers: Array.from({ length: 17 }, (_, i) => BigInt(i)),
    base: 0x7000n,
    bytes: Uint8Array.from([1, 2, 3, 4, 5, 6, 7, 8]),
  });
  const [a1, a2] = recordedPair(half(1, 5n), half(1, 5n).frames);
  const [b1, b2] = recordedPair(half(2, 5n), half(2, 5n).frames);
  const [alone] = recordedPair(half(3, 9n), half(3, 9n).frames);
  const pairs = pairRecorded(Buffer.concat([b2!, a1!, alone!, a2!, b1!]));
  assert.deepEqual(
    pairs,
    [half(1, 5n), half(2, 5n)].map((p) => ({ ...p, bytes: pairs[0]!.bytes })),
  );
  assert.deepEqual([...pairs[0]!.bytes], [1, 2, 3, 4, 5, 6, 7, 8]);
  assert.throws(() => pairRecorded(a1!.subarray(0, 80)), /broken at byte 0/);
});

/** Dumps of a program that interrupted itself: real registers and stack bytes. */
function selfDump(): { text: string; maps: ReturnType<typeof parseMaps>; stacks: RecordedStack[] } {
  const folder = mkdtempSync(join(tmpdir(), 'stacks-'));
  try {
    const path = join(folder, 'dump');
    execFileSync(buildProgram('self-dump'), [path, '20']);
    const text = readFileSync(path, 'utf8').replace(/\[vdso\]/g, vdsoImage());
    const dumped = [...text.matchAll(/^map (\S+) (\S+) (\S+) (.*)$/gm)].map((m) => ({
      start: BigInt(`0x${m[1]}`),
      end: BigInt(`0x${m[2]}`),
      offset: BigInt(`0x${m[3]}`),
      path: m[4]!,
    }));
    const stacks = [...text.matchAll(/^sample (\d+)\nregisters (.*)\nstack (\S+) (.*)$/gm)].map(
      (m): RecordedStack => ({
        pid: 77,
        tid: 1,
        comm: 'some-comm',
        timeNs: BigInt(m[1]!),
        end: 0,
        frames: [],
        registers: m[2]!.split(' ').map((word) => BigInt(`0x${word}`)),
        base: BigInt(`0x${m[3]}`),
        bytes: Buffer.from(m[4]!, 'hex'),
      }),
    );
    return { text, maps: dumped, stacks };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

// The reference finds bottom, b4 .. b1, main, two frames of libc and _start in a real dump.
test('the reference unwinder reaches the root of real stacks', async () => {
  const { text, stacks } = selfDump();
  assert.equal(stacks.length, 20);
  const reference = await runReference([text]);
  assert.equal(reference.size, 20);
  for (const { frames, reason } of reference.values()) {
    assert.equal(reason, 'end');
    // a tick may also hit main's own loop
    assert.ok(frames.length <= 9 && frames.length >= 4, `${frames.length} frames`);
    assert.equal(frames[0]!.exact, true);
    assert.equal(frames[1]!.exact, false);
  }
  assert.ok([...reference.values()].some(({ frames }) => frames.length === 9));
});

// From ring records to a verdict: true stacks are equal, a swapped frame and a lost caller are found.
test('recorded stacks are judged against the reference', async () => {
  const { text, maps: dumped, stacks } = selfDump();
  const truth = await runReference([text]);
  const records: Uint8Array[] = [];
  stacks.forEach((recorded, index) => {
    const frames = [...truth.get(index)!.frames];
    if (index === 3) frames.splice(1, 1);
    if (index === 5) frames.length = 2;
    records.push(...recordedPair(recorded, frames));
  });
  const result = await compareRecorded(
    pairRecorded(Buffer.concat(records)),
    new Map([[77, dumped]]),
  );
  assert.deepEqual(result.counts, { equal: 18, differs: 1, short: 1 });
  assert.equal(result.agreement, 0.9);
  assert.equal(result.examples.length, 2);
});
