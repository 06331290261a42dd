import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { fuzz, hostileText, rawSamples } from './arbitrary-samples.test-support.ts';
import { buildProfile, plainSample, sourceLine } from './fixture.test-support.ts';
import { encodeFolded, type FoldedOptions, foldedField } from './folded.ts';
import { framesOf, processText } from './frame.ts';
import type { Profile } from './model.ts';

const fold = (profile: Profile, options?: FoldedOptions): string =>
  [...encodeFolded(profile, options)].join('');

const samples = [
  { ...plainSample, kernel: [7], user: [3, 5, 8], end: 5, weight: 2 },
  { ...plainSample, user: [8], thread: 'main' },
  { ...plainSample, user: [8], pid: 43 },
];

test('small golden: process first, outermost next, inlined calls expanded', () => {
  assert.equal(
    fold(buildProfile(samples)),
    'app;[stack cut: no unwind information];f8;app-42+0x5;f3;inlined3;f7 2\napp;f8 2\n',
  );
});

test('threads are a second field when asked for', () => {
  assert.equal(
    fold(buildProfile(samples.slice(1), { threads: true }), { threads: true }),
    'app;thread:main;f8 1\napp;thread:worker;f8 1\n',
  );
});

test('requests are fields when asked for, as far as they are known', () => {
  const id = '0123456789abcdef';
  const labelled = [1, 2, 0].map((labels) => ({ ...plainSample, user: [8], labels }));
  const profile = buildProfile(labelled, { threads: true });
  assert.equal(fold(profile), 'app;f8 3\n');
  assert.equal(
    fold(profile, { ids: true }),
    `app;f8 2\napp;trace_id:${id}${id};span_id:${id};f8 1\n`,
  );
  assert.match(fold(profile, { ids: true, threads: true }), /^app;thread:worker;trace_id:/m);
});

test('an empty profile is an empty text', () => {
  assert.equal(fold(buildProfile([])), '');
});

test('separators and everything that ends a line become colons', () => {
  assert.equal(foldedField('a;b\nc\r\nd\u2028e\u0085f\0g'), 'a:b:c::d:e:f:g');
});

test('what a process called itself does not act on the terminal', () => {
  assert.equal(foldedField('\x1b[31mred\x07\t\x9b2J'), '\ufffd[31mred\ufffd\ufffd\ufffd2J');
});

test('round trip: the lines, read back, are the stacks with their counts', () => {
  fc.assert(
    fc.property(rawSamples, hostileText, fc.boolean(), (raw, name, threads) => {
      const profile = buildProfile(raw, { threads: true }, (low) => [sourceLine(name + low)]);
      const text = fold(profile, { threads });
      assert.ok(text.isWellFormed());
      const lines = text.split(/\r?\n|[\r\u2028\u2029\u0085\f\v]/);
      assert.equal(lines.pop(), '');
      const actual = new Map<string, number>();
      for (const line of lines) {
        const [, stack, count] = /^(.*) (\d+)$/s.exec(line)!;
        assert.ok(!actual.has(stack!), 'lines are unique');
        actual.set(stack!, Number(count));
      }
      assert.deepEqual(actual, expectedLines(profile, threads));
    }),
    fuzz,
  );
});

test('lines are sorted and come in pieces of whole lines', () => {
  const many = Array.from({ length: 3000 }, (_, i) => ({ ...plainSample, user: [i * 15 + 1] }));
  const pieces = [
    ...encodeFolded(buildProfile(many, undefined, (low) => [sourceLine(`${low}`.padStart(90))])),
  ];
  assert.ok(pieces.length > 1 && pieces.every((piece) => piece.endsWith('\n')));
  const lines = pieces.join('').trimEnd().split('\n');
  assert.equal(lines.length, 3000);
  assert.deepEqual(lines, [...lines].sort());
});

function expectedLines(profile: Profile, threads: boolean): Map<string, number> {
  const expected = new Map<string, number>();
  for (let row = 0; row < profile.samples.length; row++) {
    const fields = [...profile.stacks[profile.samples.stack[row]!]!].flatMap((location) =>
      framesOf(profile, profile.locations[location]!).map((frame) => frame.name),
    );
    if (threads) fields.push(`thread:${profile.threads[profile.samples.thread[row]!]}`);
    fields.push(processText(profile.processes[profile.samples.process[row]!]!));
    const line = fields.reverse().map(foldedField).join(';');
    expected.set(line, (expected.get(line) ?? 0) + profile.samples.count[row]!);
  }
  return expected;
}
