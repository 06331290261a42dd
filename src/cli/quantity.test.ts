import assert from 'node:assert/strict';
import { test } from 'node:test';
import { UsageError } from './errors.ts';
import {
  formatCount,
  formatDuration,
  formatSize,
  oneOf,
  parseDuration,
  parseSize,
  wholeNumber,
} from './quantity.ts';

test('durations are read with their unit, to the millisecond', () => {
  const read = ['1ms', '500ms', '10s', '1.5s', '0.001s', '2m', '24h'].map(parseDuration);
  assert.deepEqual(read, [1, 500, 10_000, 1500, 1, 120_000, 86_400_000]);
});

test('a duration without a unit, of nothing, negative or endless is refused', () => {
  for (const text of [
    '10',
    '',
    's',
    '0s',
    '-1s',
    '+1s',
    '1e3s',
    '25h',
    '1 s',
    '10S',
    '0x1s',
    '9'.repeat(99),
  ])
    assert.throws(() => parseDuration(text), UsageError, text);
});

test('sizes are read in bytes, decimal and binary units apart', () => {
  const read = ['1', '1KB', '1KiB', '64MiB', '0.5GiB', '2GB'].map((text) =>
    Number(parseSize(text)),
  );
  assert.deepEqual(read, [1, 1000, 1024, 67_108_864, 536_870_912, 2_000_000_000]);
  for (const text of ['0', '-1', '1TB', 'MiB', '1 MiB', ''])
    assert.throws(() => parseSize(text), UsageError, text);
});

test('whole numbers keep to their limits and their digits', () => {
  const parse = wholeNumber(1, 10);
  assert.equal(parse('10'), 10);
  for (const text of ['0', '11', '1.5', '0x5', ' 5', '', '-1', '5e0'])
    assert.throws(() => parse(text), UsageError, text);
});

test('a word outside of the list is refused with the list', () => {
  assert.throws(() => oneOf(['a', 'b'])('c'), { message: "'c' is not one of a, b" });
});

test('what is printed is short and stable in every locale', () => {
  assert.equal(formatCount(1_234_567), '1,234,567');
  assert.deepEqual([350, 9_800, 125_000].map(formatDuration), ['350 ms', '9.8 s', '2 m 05 s']);
  assert.deepEqual([512, 62_771, 5_242_880].map(formatSize), ['512 B', '61.3 KiB', '5.0 MiB']);
});
