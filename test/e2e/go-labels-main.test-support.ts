/**
 * `npm run test:go-labels [RELEASE…]`: labels of overlapping requests, and of every
 * number, length and kind, in programs built by many releases of Go in several ways.
 * Releases come from the module proxy. Prints a table; fails when a sample says what is
 * not so, or too many say nothing.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { recordCases } from '../harness/go-label-cases.ts';
import {
  buildRequests,
  expectRequests,
  type RequestsBuild,
  recordRequests,
} from '../harness/go-requests.ts';

/** Every change of a layout, the oldest and the newest. */
const RELEASES = [
  '1.17.13',
  '1.18.10',
  '1.20.14',
  '1.21.13',
  '1.22.12',
  '1.23.12',
  '1.24.11',
  '1.25.5',
  '1.26.0',
  '1.27.4',
];
const BUILDS: readonly RequestsBuild[] = [
  { stripped: true },
  { cgo: true },
  { mode: 'pie', stripped: true },
  { cgo: true, static: true },
];
const SECONDS = 8;

const folder = mkdtempSync(join(tmpdir(), 'go-labels-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
const wanted = process.argv.slice(2);
console.log(
  'release   build                requests  samples  with id  first  wrong  in long ones  by their clock   cases',
);
for (const release of wanted.length > 0 ? wanted : RELEASES) {
  for (const build of BUILDS) {
    const title = Object.entries(build).map(([key, value]) => (value === true ? key : value));
    try {
      const program = buildRequests(folder, { ...build, release });
      const judgement = await recordRequests(program, SECONDS, folder);
      const { cases } = await recordCases(program, folder);
      const wrongCases = cases.filter((one) => one.wrong.length > 0);
      const { requests, inside, first, identified, wrongCount, times } = judgement;
      const found = times.reduce((sum, time) => sum + time.found, 0);
      const expected = times.reduce((sum, time) => sum + time.expected, 0);
      const share = `${((100 * identified) / Math.max(1, inside)).toFixed(2)} %`;
      console.log(
        release.padEnd(9),
        title.join(' ').padEnd(20),
        [requests, inside, share, first, wrongCount, found, expected.toFixed(1)]
          .map((figure, at) => String(figure).padStart([8, 8, 8, 6, 6, 13, 15][at]!))
          .join(' '),
        `  ${cases.length - wrongCases.length} of ${cases.length}`,
      );
      for (const { name, wrong } of wrongCases) console.log(`  ${name}: ${wrong[0]}`);
      if (wrongCases.length > 0) process.exitCode = 1;
      expectRequests(judgement);
    } catch (error) {
      process.exitCode = 1;
      console.log(release.padEnd(9), title.join(' ').padEnd(20), String(error).slice(0, 2000));
    }
  }
}
