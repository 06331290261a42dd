import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { parseMaps } from './maps.ts';
import { MapsReader } from './maps-reader.ts';

const folder = mkdtempSync(join(tmpdir(), 'flametap-maps-'));
const path = join(folder, 'maps');
after(() => rmSync(folder, { recursive: true }));

const reader = new MapsReader();
const read = (from: string, isExecutableOnly: boolean): string =>
  reader.read((into, position) => readFileSync(from).copy(into, 0, position), isExecutableOnly);
const line = (i: number, rights: string, name: string) =>
  `${(i * 4096).toString(16)}-${((i + 1) * 4096).toString(16)} ${rights} 00000000 00:01 7 ${name}\n`;

test('the executable lines of any text, whatever the pieces it is read in', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.constantFrom('r-xp', 'rw-p', '--xs', '---p'), fc.nat(4000)), {
        maxLength: 120,
      }),
      (made) => {
        const lines = made.map(([rights, length], i) => line(i, rights, `/${'x'.repeat(length)}`));
        writeFileSync(path, lines.join(''));
        assert.equal(read(path, false), lines.join(''));
        const code = lines.filter((_, i) => made[i]![0][2] === 'x');
        assert.equal(read(path, true), code.join(''));
      },
    ),
    { numRuns: 60 },
  );
});

test('of this process the same mappings as its whole maps have', () => {
  const whole = readFileSync('/proc/self/maps', 'latin1');
  const starts = (text: string) => parseMaps(text).mappings.map(({ start }) => start);
  assert.deepEqual(starts(read('/proc/self/maps', true)), starts(whole));
});

test('more than is kept of any process: refused, not read into memory', () => {
  writeFileSync(path, line(1, 'r-xp', 'y'.repeat(4000)).repeat(3000));
  assert.throws(() => read(path, true), /too many/);
  // Of a process that maps files piece by piece the code alone counts.
  const code = line(2, 'r-xp', '/usr/bin/java');
  writeFileSync(path, line(1, 'rw-p', 'y'.repeat(4000)).repeat(3000) + code);
  assert.equal(read(path, true), code);
  assert.throws(() => read(path, false), /too many/);
});

// The reader asked for more with no room to take it, for ever: whoever waited for its thread started it again.
test('a line that is longer than the room for it: refused', () => {
  writeFileSync(
    path,
    line(1, 'r-xp', `/${'z'.repeat(200_000)}`) + line(2, 'r-xp', '/usr/bin/java'),
  );
  assert.throws(() => read(path, true), /endless path/);
  assert.throws(() => read(path, false), /endless path/);
});

test('gigabytes of long lines without code are not read to their end', () => {
  const piece = Buffer.from(line(1, 'rw-p', `/${'z'.repeat(100_000)}`));
  let asked = 0;
  const endless = (into: Uint8Array, position: number): number => {
    asked += into.length;
    for (let at = 0; at < into.length; ) {
      const from = (position + at) % piece.length;
      at += piece.copy(into, at, from, Math.min(piece.length, from + into.length - at));
    }
    return into.length;
  };
  assert.throws(() => reader.read(endless, true), /too many/);
  assert.ok(asked < 130 << 20, `${asked} bytes`);
});
