/** Saved records make the profile that was made of them live, stack by stack. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { buildProgram } from '../harness/programs.ts';
import { CLI, execute, type Finished } from '../harness/record.ts';

const folder = mkdtempSync(join(tmpdir(), 'replay-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const records = join(folder, 'records');

async function flametap(...args: string[]): Promise<Finished> {
  const finished = await execute([CLI, 'record', ...args]);
  assert.equal(finished.code, 0, finished.stderr);
  return finished;
}

/** Counts by stack of a folded profile. */
function stacks(path: string): Map<string, number> {
  const counts = new Map<string, number>();
  for (const line of readFileSync(path, 'utf8').trimEnd().split('\n')) {
    const at = line.lastIndexOf(' ');
    // Trampolines of BPF programs are named by whoever is loaded at the time.
    const stack = line.slice(0, at).replaceAll(/bpf[_:][^;]*/g, 'bpf');
    counts.set(stack, (counts.get(stack) ?? 0) + Number(line.slice(at + 1)));
  }
  return counts;
}

async function liveAndReplayed(name: string, command: readonly string[]) {
  const live = join(folder, `${name}.live`);
  const replayed = join(folder, `${name}.replayed`);
  const format = ['--format', 'folded', '--output'];
  await flametap('--hz', '499', ...format, live, '--save-records', records, '--', ...command);
  await flametap('--replay', records, ...format, replayed);
  return [stacks(live), stacks(replayed)] as const;
}

test('shells, forks and execs of short and long programs: same counts by stack', async () => {
  const script = join(folder, 'script');
  const line = 'ls -lR /usr/include >/dev/null; (sort /usr/include/*.h | md5sum >/dev/null); true';
  writeFileSync(
    script,
    `for i in 1 2 3 4; do ${line}; done\nperl -e 'for (1..3000000) { $x .= "a" if $_ % 7 == 0 }'\n`,
  );
  const [live, replayed] = await liveAndReplayed('script', ['bash', script]);
  const total = [...live.values()].reduce((sum, count) => sum + count, 0);
  assert.ok(total > 100, `only ${total} samples`);
  assert.ok(live.size > 20);
  assert.deepEqual(replayed, live);
});

// The last samples of a process and its first, which are unwound in user space, have them too.
test('goroutines of a Go program: same labels by stack', async () => {
  const [live, replayed] = [join(folder, 'go.live'), join(folder, 'go.replayed')];
  const format = ['--format', 'json', '--output'];
  const command = [buildProgram('deep-go'), '1', '40', '4'];
  await flametap('--hz', '499', ...format, live, '--save-records', records, '--', ...command);
  await flametap('--replay', records, ...format, replayed);
  const labelled = (path: string): string[] => {
    const { samples, tally } = JSON.parse(readFileSync(path, 'utf8')) as {
      samples: { stack: { name: string; type: string }[]; labels: object; count: number }[];
      tally: { labels_lost: object };
    };
    const rows = samples.map(({ stack, labels, count }) => {
      // Kernel frames may be trampolines of whoever is loaded at the time.
      const names = stack.filter(({ type }) => type !== 'kernel').map(({ name }) => name);
      return JSON.stringify([labels, names, count]);
    });
    return [...rows.sort(), JSON.stringify(tally.labels_lost)];
  };
  const rows = labelled(live);
  assert.ok(rows.filter((row) => row.includes('"goroutine":')).length > 20, `${rows.length} rows`);
  assert.deepEqual(labelled(replayed), rows);
});

test('a damaged recording: an error that names the file, and no profile', async () => {
  const cut = join(folder, 'cut');
  const bytes = readFileSync(records);
  writeFileSync(cut, bytes.subarray(0, bytes.length - 5));
  const output = join(folder, 'none');
  const { code, stderr } = await execute([CLI, 'record', '--replay', cut, '--output', output]);
  assert.equal(code, 1);
  assert.match(stderr, new RegExp(cut));
  assert.throws(() => readFileSync(output), { code: 'ENOENT' });
});

test('a disk too small for the records: the profile is written all the same, and one line says why', async () => {
  const disk = mkdtempSync(join(tmpdir(), 'small-disk-'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=16k', 'tmpfs', disk]);
  try {
    const output = join(folder, 'kept');
    const spin = 'for (const end = Date.now() + 1500; Date.now() < end; );';
    const { code, stderr } = await execute([
      ...[CLI, 'record', '--format', 'folded', '--output', output],
      ...['--save-records', join(disk, 'records'), '--', process.execPath, '-e', spin],
    ]);
    assert.equal(code, 1);
    assert.match(stderr, /cannot write records to .*no space left/);
    assert.doesNotMatch(stderr, /\n {4}at /);
    assert.ok(stacks(output).size > 0);
  } finally {
    execFileSync('umount', [disk]);
    rmSync(disk, { recursive: true });
  }
});
