import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chownSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('./agent-page-main.test-support.ts', import.meta.url));
const NOBODY = 65_534;
const runtimeFolder = mkdtempSync(join(tmpdir(), 'runtime-'));
chownSync(runtimeFolder, NOBODY, NOBODY);
after(() => rmSync(runtimeFolder, { recursive: true, force: true }));

/** An agent of a user with few powers; this checkout may be in a folder of root's. */
function pageOfNobody(environment: NodeJS.ProcessEnv) {
  const { FLAMETAP_TOKEN: _, XDG_RUNTIME_DIR: __, ...rest } = process.env;
  const powers = ['--inh-caps=+dac_read_search', '--ambient-caps=+dac_read_search'];
  const user = [`--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups', ...powers];
  const line = [...user, '--', process.execPath, MAIN];
  const env = { ...rest, ...environment };
  return JSON.parse(execFileSync('setpriv', line, { encoding: 'utf8', env }));
}

test('an agent that is not root keeps its token in the runtime folder of its user', () => {
  const { tokenFile, ...seen } = pageOfNobody({ XDG_RUNTIME_DIR: runtimeFolder });
  assert.equal(dirname(tokenFile), join(runtimeFolder, 'flametap'));
  assert.deepEqual(seen, { uid: NOBODY, mode: 0o600, isKnown: true, isLeft: false });
});

test('without a runtime folder of its user the token is nowhere, and that is told', () => {
  const { problem, ...seen } = pageOfNobody({});
  assert.match(problem, /no folder for the token of the page: \$XDG_RUNTIME_DIR is not set/);
  assert.deepEqual(seen, { isKnown: false, isLeft: false });
});

test('a runtime folder of somebody else is not written to', () => {
  const ofRoot = mkdtempSync(join(runtimeFolder, 'root-'));
  const { problem, tokenFile } = pageOfNobody({ XDG_RUNTIME_DIR: ofRoot });
  assert.equal(tokenFile, undefined);
  assert.match(problem, /cannot be kept in .*permission denied/);
});
