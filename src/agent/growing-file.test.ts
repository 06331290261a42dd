import assert from 'node:assert/strict';
import {
  appendFileSync,
  closeSync,
  fstatSync,
  mkdtempSync,
  openSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { CodePages, pageOf } from '../symbolize/code-pages.ts';
import { processAddress } from '../units/units.ts';
import { GeneratedCode } from './generated-code.ts';
import { newChunk, PerfMapScan } from './growing-file.ts';

let directory = '';
before(() => {
  directory = mkdtempSync(join(tmpdir(), 'flametap-growing-'));
});
after(() => rmSync(directory, { recursive: true }));

const PLACE = 0x10_0000;
const lines = (from: number, count: number, name: string): string =>
  Array.from(
    { length: count },
    (_, at) => `${(PLACE + (from + at) * 16).toString(16)} 10 ${name}${from + at}\n`,
  ).join('');
const addressOf = (number: number) => processAddress(PLACE + number * 16);

const always = { isSpent: () => false, isShort: () => false };

/** A map that is followed by a flush at a time. */
class Follower {
  readonly file: string;
  readonly fd: number;
  readonly code: GeneratedCode;
  #flush = 0;

  constructor(name: string, content: string) {
    this.file = join(directory, name);
    writeFileSync(this.file, content);
    this.fd = openSync(this.file, 'r');
    const chunk = newChunk();
    this.code = new GeneratedCode((pages) => new PerfMapScan(pages, chunk));
  }

  /** Names of these functions. */
  names(numbers: readonly number[], time = always): (string | undefined)[] {
    this.#flush++;
    for (const number of numbers) this.code.want(pageOf(addressOf(number)), this.#flush);
    this.code.readOn(this.fd, fstatSync(this.fd).size, this.#flush, time);
    return numbers.map((number) => this.code.lookup(addressOf(number))?.line.name);
  }

  problems(): Record<string, number> {
    return Object.fromEntries(this.code.problems);
  }

  close(): void {
    closeSync(this.fd);
  }
}

/** Time for so many chunks of a file, from now on. */
function timeFor(chunks: number): typeof always {
  let left = chunks;
  const isSpent = (): boolean => left-- <= 0;
  return { isSpent, isShort: isSpent };
}

test('what is appended is taken in, and so are pages that are asked for later', () => {
  const growing = new Follower('grows.map', lines(0, 1000, 'f'));
  for (let round = 1; round < 20; round++) {
    appendFileSync(growing.file, lines(round * 1000, 1000, 'f'));
    const [early, late] = [round * 50, round * 1000 + 999];
    assert.deepEqual(growing.names([early, late]), [`f${early}`, `f${late}`]);
    assert.deepEqual(growing.names([early, late]), [`f${early}`, `f${late}`]);
  }
  assert.deepEqual(growing.problems(), {});
  growing.close();
});

test('an entry that is appended later takes the place of the one before', () => {
  const growing = new Follower('replaced.map', lines(0, 1000, 'old'));
  assert.deepEqual(growing.names([0, 500]), ['old0', 'old500']);
  appendFileSync(growing.file, lines(500, 1, 'new'));
  assert.deepEqual(growing.names([0, 500]), ['old0', 'new500']);
  growing.close();
});

test('a map that is written anew replaces what was read, also when it is longer than before', () => {
  const growing = new Follower('anew.map', lines(0, 1000, 'old'));
  assert.deepEqual(growing.names([0, 500]), ['old0', 'old500']);
  writeFileSync(growing.file, lines(500, 100, 'new'));
  assert.deepEqual(growing.names([0, 500]), [undefined, 'new500']);
  writeFileSync(growing.file, lines(0, 3000, 'third'));
  assert.deepEqual(growing.names([0, 10, 500, 2999]), [
    'third0',
    'third10',
    'third500',
    'third2999',
  ]);
  assert.deepEqual(growing.problems(), { read_again: 2 });
  growing.close();
});

test('of a map of 63 MB the first entry is found, and memory is what was sampled', () => {
  const growing = new Follower('huge.map', lines(0, 1, 'first'));
  const filler = 'x'.repeat(50);
  for (let round = 0; round < 9; round++) {
    appendFileSync(growing.file, lines(1000 + round * 100_000, 100_000, filler));
  }
  assert.ok(fstatSync(growing.fd).size > 60_000_000);
  assert.deepEqual(growing.names([0, 900_999]), ['first0', `${filler}900999`]);
  assert.ok(growing.code.bytes < 100_000, `${growing.code.bytes} bytes`);
  growing.close();
});

test('when the time is over it goes on at the next flush; nothing is guessed until then', () => {
  const growing = new Follower('slow.map', lines(0, 40_000, 'f'));
  let flushes = 1;
  while (growing.names([7], timeFor(1))[0] === undefined) flushes++;
  assert.ok(flushes >= 3 && flushes < 10, `${flushes} flushes`);
  assert.deepEqual(growing.problems(), { addresses_behind: flushes - 1 });
  // A page more: what is known stays so while the file is gone through once more.
  assert.deepEqual(growing.names([7, 30_000], timeFor(1)), ['f7', undefined]);
  // What was written since could name it otherwise.
  appendFileSync(growing.file, lines(50_000, 1, 'more'));
  assert.deepEqual(growing.names([7], timeFor(0)), [undefined]);
  assert.deepEqual(growing.names([7, 30_000]), ['f7', 'f30000']);
  growing.close();
});

test('holes, lines without end and names of megabytes cost their bytes and no memory', () => {
  const growing = new Follower('odd.map', lines(0, 10, 'first'));
  // Sparse: zeros without an end of line, as good as any other content.
  truncateSync(growing.file, 2 ** 28);
  appendFileSync(growing.file, `\n${lines(20, 10, 'last')}`);
  appendFileSync(growing.file, `${PLACE.toString(16)} 10 ${'long'.repeat(2 ** 20)}\n`);
  assert.deepEqual(growing.names([1, 29]), ['first1', 'last29']);
  assert.ok(growing.code.bytes < 200_000, `${growing.code.bytes} bytes`);
  assert.deepEqual(growing.problems(), { line_too_long: 2 });
  growing.close();
});

test('more pages than are kept: the latest ones', () => {
  const growing = new Follower('pages.map', lines(0, 1, 'f'));
  for (let page = 1; page <= 5000; page++) growing.code.want(page, 0);
  growing.names([0]);
  assert.deepEqual(growing.problems(), { pages_refused: 905 });
  growing.close();
});

test('what was counted stays counted when the file is gone through with other pages', () => {
  // One page with more names than there is room for.
  const crowded = Array.from(
    { length: 4096 },
    (_, at) => `${(PLACE + at).toString(16)} 1 ${at}${'n'.repeat(700)}\n`,
  );
  const growing = new Follower('counts.map', `nonsense\n${crowded.join('')}`);
  let before = 0;
  for (let flush = 0; flush < 40; flush++) {
    growing.names(flush < 2 ? [0] : [0x1_0000 + flush * 256]);
    const sum = [...growing.code.problems.values()].reduce((all, count) => all + count, 0);
    assert.ok(sum >= before, `${sum} after ${before}`);
    before = sum;
  }
  const { line_malformed, entries_forgotten = 0 } = growing.problems();
  assert.deepEqual([line_malformed, entries_forgotten > 1000], [1, true]);
  growing.close();
});

test('a file without a page that is asked for', () => {
  const scan = new PerfMapScan(CodePages.of(new Set()), newChunk());
  const growing = new Follower('none.map', lines(0, 1000, 'f'));
  assert.ok(scan.readOn(growing.fd, fstatSync(growing.fd).size, () => false));
  assert.equal(scan.lookup(addressOf(1)), undefined);
  growing.close();
});
