import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { loadConfig } from './load.ts';

const folder = mkdtempSync(join(tmpdir(), 'flametap-secrets-'));
after(() => rmSync(folder, { recursive: true }));
const SECRET = 'correct-horse-battery';

function warningsOf(sets: readonly string[], text?: string, mode = 0o600): readonly string[] {
  const file = text === undefined ? undefined : join(folder, 'flametap.yaml');
  if (file !== undefined) {
    writeFileSync(file, text!);
    chmodSync(file, mode);
  }
  const { warnings } = loadConfig({ file, environment: {}, sets });
  for (const warning of warnings) assert.ok(!warning.includes(SECRET));
  return warnings;
}

const url = 'exporters.0.pyroscope.url=http://x';

test('a secret after --set is seen by all in the list of processes', () => {
  for (const set of [
    `exporters.0.pyroscope.bearer_token=${SECRET}`,
    `exporters.0.pyroscope.headers.Authorization=${SECRET}`,
    `exporters.0.pyroscope.headers=Authorization=${SECRET}`,
  ]) {
    const [warning, ...others] = warningsOf([url, set]);
    assert.match(warning ?? '', /exporters\.0\.pyroscope\..*the list of processes shows it/, set);
    assert.equal(others.length, 0);
  }
  const yaml = `exporters=[{pyroscope: {url: "http://x", bearer_token: ${SECRET}}}]`;
  assert.match(warningsOf([yaml])[0] ?? '', /the list of processes shows it/);
  assert.deepEqual(warningsOf([url, 'exporters.0.pyroscope.tenant=a']), []);
  const environment = { FLAMETAP_EXPORTERS_0_PYROSCOPE_BEARER_TOKEN: SECRET };
  assert.deepEqual(loadConfig({ file: undefined, environment, sets: [url] }).warnings, []);
});

test('a file with secrets that others can read', () => {
  const text = `exporters: [{ pyroscope: { url: "http://x", bearer_token: ${SECRET} } }]`;
  assert.match(
    warningsOf([], text, 0o644)[0] ?? '',
    /every user of this machine can read: chmod 600/,
  );
  assert.deepEqual(warningsOf([], text, 0o600), []);
  // Without secrets it is everybody's.
  assert.deepEqual(warningsOf([], 'capture: { hz: 49 }', 0o644), []);
});

test('files of tokens, passwords and keys that others can read, or that are not there', () => {
  const token = join(folder, 'token');
  writeFileSync(token, SECRET);
  const sets = [url, `exporters.0.pyroscope.bearer_token_file=${token}`];
  chmodSync(token, 0o604);
  assert.match(warningsOf(sets)[0] ?? '', /token holds a secret that every user/);
  chmodSync(token, 0o600);
  assert.deepEqual(warningsOf(sets), []);
  rmSync(token);
  assert.match(warningsOf(sets)[0] ?? '', /token: no such file or directory; profiles wait/);
  const ca = [url, 'exporters.0.pyroscope.tls.ca_file=/nonexistent/ca.pem'];
  assert.match(warningsOf(ca)[0] ?? '', /tls\.ca_file.*ca\.pem: no such file or directory/);
});

test('a tenant is no secret, and a folder that others can list is told', () => {
  const text = 'exporters: [{ otlp: { endpoint: "http://x", headers: { X-Scope-OrgID: a } } }]';
  assert.deepEqual(warningsOf([], text, 0o644), []);
  const directory = join(folder, 'profiles');
  mkdirSync(directory);
  const sets = [`exporters.0.files.directory=${directory}`];
  chmodSync(directory, 0o755);
  assert.match(
    warningsOf(sets)[0] ?? '',
    /every user of this machine can list .*profiles: chmod 700/,
  );
  chmodSync(directory, 0o700);
  assert.deepEqual(warningsOf(sets), []);
});
