import assert from 'node:assert/strict';
import { test } from 'node:test';
import { UsageError } from './errors.ts';
import { defaulted, flag, parseLine, repeated, text } from './options.ts';
import { wholeNumber } from './quantity.ts';

const table = {
  pid: repeated('N', wholeNumber(1, 99), 'processes'),
  hz: defaulted('N', wholeNumber(1, 1000), '99', 'rate'),
  output: text('FILE', 'where to'),
  threads: flag('by thread'),
};

const failure = (...args: string[]): string => {
  try {
    parseLine(table, args);
  } catch (error) {
    assert.ok(error instanceof UsageError, String(error));
    return error.message;
  }
  return 'accepted';
};

test('values come typed, with their defaults, in both spellings', () => {
  const { values, given } = parseLine(table, [
    '--pid',
    '1',
    '--pid=2',
    '--output',
    '-',
    '--threads',
  ]);
  assert.deepEqual(values, { pid: [1, 2], hz: 99, output: '-', threads: true });
  assert.deepEqual([...given].sort(), ['output', 'pid', 'threads']);
});

test('everything after -- belongs to the command, options included', () => {
  const line = parseLine(table, ['--hz', '5', '--', 'ls', '--hz', '--', '-x']);
  assert.deepEqual(line.command, ['ls', '--hz', '--', '-x']);
  assert.equal(line.values.hz, 5);
  assert.deepEqual(parseLine(table, ['--']).command, []);
  assert.equal(parseLine(table, []).command, undefined);
});

test('a mistyped option is named, with the nearest one', () => {
  assert.equal(failure('--thread'), "unknown option '--thread'; did you mean '--threads'?");
  assert.equal(failure('--outptu', 'x'), "unknown option '--outptu'; did you mean '--output'?");
  assert.equal(failure('--zzzzzz'), "unknown option '--zzzzzz'");
  assert.match(failure('-x'), /unknown option '-x'/);
});

test('names of Object.prototype are unknown options like all others', () => {
  assert.match(failure('--constructor'), /unknown option '--constructor'/);
  assert.match(failure('--__proto__'), /unknown option '--__proto__'/);
});

test('a missing, empty or doubled value names the option', () => {
  assert.equal(failure('--output'), '--output needs a value: --output FILE');
  assert.equal(failure('--output='), '--output needs a value: --output FILE');
  assert.equal(failure('--output', '--threads'), '--output needs a value: --output FILE');
  assert.equal(failure('--hz', '1', '--hz', '2'), '--hz is given more than once');
  assert.equal(failure('--threads=yes'), '--threads takes no value');
});

test('a value out of range names the option and what is allowed', () => {
  assert.equal(failure('--hz', '0'), "--hz: '0' is not a whole number from 1 to 1000");
  assert.equal(
    failure('--pid', '1', '--pid', 'x'),
    "--pid: 'x' is not a whole number from 1 to 99",
  );
});
