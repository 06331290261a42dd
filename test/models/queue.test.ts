import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';

const MODEL = join(import.meta.dirname, 'queue.pml');
const SEARCH_DEPTH = 200_000;
const folder = mkdtempSync(join(tmpdir(), 'flametap-model-'));
after(() => rmSync(folder, { recursive: true }));
let searches = 0;

/** What spin's verifier found: the assertion or claim that does not hold, '' when all do. */
function search(
  claim: 'everything_sent' | 'shutdown_ends' | undefined,
  ...defines: string[]
): string {
  const name = `pan${searches++}`;
  const run = (command: string, args: string[]): string =>
    execFileSync(command, args, { cwd: folder, encoding: 'utf8', maxBuffer: 1 << 26 });
  run('spin', [...defines.map((define) => `-D${define}`), '-a', MODEL]);
  const flags = claim === undefined ? ['-DSAFETY', '-DNOCLAIM'] : ['-DNFAIR=3'];
  // Most searches are shorter than a better compilation.
  run('gcc', [defines.length === 0 ? '-O2' : '-O0', '-w', ...flags, '-o', name, 'pan.c']);
  const options = claim === undefined ? [] : ['-a', '-f', '-N', claim];
  const report = run(`./${name}`, [`-m${SEARCH_DEPTH}`, ...options]);
  assert.doesNotMatch(report, /max search depth too small|out of memory/);
  const [, errors] = /errors: (\d+)/.exec(report)!;
  const [, problem = ''] = /^pan:\d+: (.*) \(at depth/m.exec(report) ?? [];
  assert.equal(errors === '0', problem === '', report);
  return problem;
}

describe('model of queue and sender', () => {
  test('nothing is lost, repeated or reordered without a stated cause, and it never gets stuck', () => {
    assert.equal(search(undefined), '');
  });

  test('everything is sent when the backend stays up, whatever happened before', () => {
    assert.equal(search('everything_sent', 'FAULTS=0'), '');
  });

  test('shutdown ends, with and without a backend', () => {
    assert.equal(search('shutdown_ends', 'FAULTS=0'), '');
  });
});

describe('mistakes that the model must show', () => {
  test('a request that is noted as delivered before it is', () => {
    assert.match(search(undefined, 'BREAK_ACKNOWLEDGED_EARLY'), /accepted/);
  });

  test('a request that gave way in flight and takes the next one with it', () => {
    assert.match(search(undefined, 'BREAK_SETTLED_TWICE'), /accepted|flight/);
  });

  test('a failed request that waits behind the next', () => {
    assert.match(search(undefined, 'BREAK_ORDER'), /newest|acknowledged/);
  });

  test('a breaker that stays open', () => {
    assert.match(
      search('everything_sent', 'FAULTS=0', 'BREAK_NEVER_HALF_OPEN'),
      /acceptance cycle/,
    );
  });

  test('an agent that goes on trying when it shall stop', () => {
    const problem = search('shutdown_ends', 'FAULTS=0', 'BREAK_RETRIES_WHEN_CLOSING');
    assert.match(problem, /acceptance cycle/);
  });
});
