import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SourceLine } from '../symbolize/source-line.ts';
import { packLines, unpackLines } from './debug-info-messages.ts';

const line = (name: string, number: number, startLine = 1): SourceLine => ({
  name,
  systemName: `_${name}`,
  file: `${name}.c`,
  line: number,
  column: 2,
  startLine,
});

test('Chains come out as they went in, each function once', () => {
  const caller = line('main', 9);
  const chains = [[line('a', 1), caller], undefined, [], [line('a', 2), caller], [line('a', 1, 7)]];
  const packed = packLines(chains);
  assert.equal(packed.functions.length, 3);
  chains.forEach((chain, i) => {
    assert.deepEqual(unpackLines(packed, i), chain ?? []);
  });
});

test('Thousands of functions of one name are packed in linear time', () => {
  const chains = Array.from({ length: 100_000 }, (_, i) => [line('same', i, i)]);
  const packed = packLines(chains);
  assert.deepEqual(unpackLines(packed, 99_999), chains[99_999]);
});
