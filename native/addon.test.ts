import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { before, test } from 'node:test';

const FOLDER = import.meta.dirname;
const ADDON = join(FOLDER, '../build/asan/flametap.node');
let libraries = '';

before(() => {
  // Bound to the addon, not to the program, the runtime has to come first by hand.
  libraries = ['libasan.so', 'libubsan.so']
    .map((name) => execFileSync('g++', [`-print-file-name=${name}`], { encoding: 'utf8' }).trim())
    .join(' ');
  execFileSync('make', ['-s', '-C', FOLDER, 'asan'], { stdio: ['ignore', 'ignore', 'inherit'] });
});

function exercise(scenario: string, ...flags: string[]) {
  const script = join(FOLDER, 'addon-exercise.ts');
  return spawnSync(process.execPath, [...flags, script, ADDON, scenario], {
    encoding: 'utf8',
    timeout: 120_000,
    env: {
      ...process.env,
      LD_PRELOAD: libraries,
      // Node itself frees nothing at its end.
      ASAN_OPTIONS: 'detect_leaks=0:abort_on_error=0:exitcode=99',
      UBSAN_OPTIONS: 'print_stacktrace=1:halt_on_error=1',
    },
  });
}

function passes(scenario: string, ...flags: string[]): void {
  const { status, signal, stdout, stderr } = exercise(scenario, ...flags);
  assert.doesNotMatch(stderr, /Sanitizer|runtime error/, stderr);
  assert.deepEqual({ status, signal }, { status: 0, signal: null }, stderr);
  assert.match(stdout, /done/);
}

test('the sampler loads, watches, drains and closes 30 times under AddressSanitizer', () => {
  passes('cycles');
});

test('wrong arguments are errors, never crashes', () => passes('arguments'));

test('the process may end while rings are watched', () => passes('exit'));

test('a sampler that nobody holds is collected while it is watched', () => {
  passes('forgotten', '--expose-gc');
});

test('the callback may close the sampler or watch anew', () => passes('reentrant'));

test('an error of the callback goes to the process', () => passes('thrown'));

test('a thread may be terminated while its rings are watched', () => passes('worker'));
