import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { Check } from '../agent/doctor-check.ts';

const main = join(import.meta.dirname, 'stand-in-main.test-support.ts');
const folder = mkdtempSync(join(tmpdir(), 'flametap-doctor-'));
after(() => rmSync(folder, { recursive: true, force: true }));

/** Runs the real doctor through a command that takes something away from it. */
function doctor(wrapper: readonly string[], standIn = '') {
  const line = [...wrapper, process.execPath, main, 'doctor', '--json'];
  const { status, stdout, stderr } = spawnSync(line[0] ?? '', line.slice(1), {
    encoding: 'utf8',
    env: { ...process.env, FLAMETAP_STAND_IN: standIn },
  });
  assert.ok(stdout.startsWith('{'), stderr);
  const diagnosis = JSON.parse(stdout) as { ok: boolean; checks: Check[] };
  return {
    status,
    ok: diagnosis.ok,
    state: (id: string) => diagnosis.checks.find((one) => one.id === id)?.state,
  };
}

test('this machine, as root, can profile', () => {
  const { status, ok, state } = doctor([]);
  assert.deepEqual([status, ok], [0, true]);
  for (const id of ['kernel', 'btf', 'ring-buffer', 'perf', 'bpf', 'pid-namespace', 'trial'])
    assert.equal(state(id), 'ok', id);
});

test('without CAP_SYS_ADMIN, CAP_BPF and CAP_PERFMON it ends with 3 and names both', () => {
  const drop = '-sys_admin,-bpf,-perfmon';
  const { status, state } = doctor(['setpriv', `--bounding-set=${drop}`, `--inh-caps=${drop}`]);
  assert.equal(status, 3);
  assert.deepEqual([state('bpf'), state('perf')], ['missing', 'missing']);
});

test('a single capability that is gone is named', () => {
  const cases: [string, string][] = [
    ['sys_ptrace', 'process-maps'],
    ['dac_read_search', 'read-files'],
  ];
  for (const [capability, id] of cases) {
    const wrapper = ['setpriv', `--bounding-set=-${capability}`, `--inh-caps=-${capability}`];
    assert.equal(doctor(wrapper).state(id), 'warn', capability);
  }
});

test('an unprivileged user sees what is missing and why kernel names are', () => {
  const drop = '-all';
  const { status, state } = doctor(['setpriv', `--bounding-set=${drop}`, `--inh-caps=${drop}`]);
  assert.equal(status, 3);
  assert.deepEqual([state('bpf'), state('kernel-names')], ['missing', 'warn']);
});

test('another pid namespace is seen', () => {
  const { status, state } = doctor(['unshare', '--pid', '--fork', '--mount-proc']);
  assert.deepEqual([status, state('pid-namespace')], [3, 'missing']);
});

test('another user namespace is seen, although we are root in it', () => {
  const { status, state } = doctor(['unshare', '--user', '--map-root-user']);
  assert.deepEqual([status, state('user-namespace')], [3, 'missing']);
});

test('kernel types hidden by a mount are seen', () => {
  const hide = `mount --bind ${folder} /sys/kernel/btf && exec "$@"`;
  const { status, state } = doctor(['unshare', '--mount', 'sh', '-c', hide, 'sh']);
  assert.deepEqual([status, state('btf')], [3, 'missing']);
});

test('a trial that fails decides', () => {
  const { status, ok, state } = doctor([], 'machine');
  assert.deepEqual([status, ok, state('trial')], [3, false, 'missing']);
});

test('the text is aligned, and every fix stands below what it mends', () => {
  const { stdout, status } = spawnSync(
    'unshare',
    ['--pid', '--fork', '--mount-proc', process.execPath, main, 'doctor'],
    { encoding: 'utf8' },
  );
  assert.equal(status, 3);
  const lines = stdout.split('\n');
  const at = lines.findIndex((line) => line.startsWith('missing  Pid namespace'));
  assert.match(lines[at + 1] ?? '', /^ +→ run on the host, or with docker run --pid=host/);
  const columns = lines
    .filter((line) => /^(ok|warn|missing) /.test(line))
    .map((line) => line.slice(0, 9));
  assert.ok(columns.length > 15 && columns.every((column) => column.endsWith('  ')));
  assert.match(stdout, /Profiling cannot work here/);
});
