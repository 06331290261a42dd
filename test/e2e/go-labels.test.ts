/** pprof labels of goroutines: each sample says whose request it was part of, or nothing. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { recordCases } from '../harness/go-label-cases.ts';
import { buildRequests, expectRequests, recordRequests } from '../harness/go-requests.ts';

const folder = mkdtempSync(join(tmpdir(), 'go-labels-'));
after(() => rmSync(folder, { recursive: true, force: true }));

// Labels that are a map; and a slice, set by the bridge of OpenTelemetry. See also `npm run
// test:go-labels`.
const BUILDS = [{ release: '1.21.13', stripped: true, plain: true }, { cgo: true }] as const;

/** Both tests of a build run the same program. */
function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}

for (const build of BUILDS) {
  const program = once(() => buildRequests(folder, build));
  const title = 'release' in build ? `Go ${build.release}` : 'the installed Go, with cgo';

  test(`overlapping requests in 1,500 goroutines: ${title}`, async () => {
    const judgement = await recordRequests(program(), 4, folder);
    expectRequests(judgement);
  });

  // Also: labels that cannot be take nothing from the program, from others or from us.
  test(`labels of every number, length and kind, and what is none: ${title}`, async () => {
    const { cases, labelsLost, first } = await recordCases(program(), folder);
    let [samples, silent] = [0, 0];
    for (const one of cases) {
      assert.deepEqual(one.wrong, [], one.name);
      samples += one.samples;
      silent += one.silent;
    }
    assert.ok(samples > 300 && silent <= first, `${samples} samples, ${silent} without labels`);
    const isTaken = cases.filter((one) => one.samples > 0);
    assert.ok(isTaken.length > 0.6 * cases.length, `${isTaken.length} of ${cases.length} seen`);
    for (const reason of ['context_too_long', 'context_unreadable', 'context_malformed']) {
      assert.ok((labelsLost[reason] ?? 0) > 0, `${reason}: ${JSON.stringify(labelsLost)}`);
    }
  });
}
