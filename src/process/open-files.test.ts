import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chownSync,
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { loadAddon } from '../capture/addon.ts';
import { bootTime, type HostPid, hostPid, inodeNumber, monotonicTime } from '../units/units.ts';
import { Executable } from './executable.ts';
import { LiveHost } from './host.ts';
import { parseMaps, type RawMapping } from './maps.ts';
import { type Opened, OpenFiles, type Outcome, type Unusable } from './open-files.ts';
import { ProcessTracker } from './tracker.ts';
import { PATIENT_WAIT_LIMITS } from './wait-budget.ts';

const me = hostPid(process.pid);
const host = new LiveHost(loadAddon(), undefined, PATIENT_WAIT_LIMITS);
let folder = '';
/** A small program with a build id, and two without whose first and last pages are the same. */
let program = '';
let bare: [string, string];

function compile(name: string, source: string, ...flags: string[]): string {
  const path = join(folder, name);
  writeFileSync(`${path}.c`, source);
  execFileSync('cc', [...flags, '-o', path, `${path}.c`]);
  return path;
}

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'flametap-files-'));
  program = compile('sleeper', '#include <unistd.h>\nint main(void) { pause(); }');
  const filler = 'char filler[65536] = { 1 };\nint main(void) { return 0; }';
  const one = compile('one', filler, '-Wl,--build-id=none');
  const other = join(folder, 'other');
  const bytes = readFileSync(one);
  bytes[bytes.length >> 1]! ^= 1;
  writeFileSync(other, bytes);
  bare = [one, other];
});

after(() => rmSync(folder, { recursive: true }));

/** As the kernel would report a mapping of `path`. */
function mappingOf(path: string): RawMapping {
  const [any] = parseMaps('10000-11000 r-xp 0 0:0 0 x\n').mappings;
  const inode = existsSync(path) ? statSync(path, { bigint: true }).ino : 1n;
  return { ...any!, inode: inodeNumber(inode), path };
}

const isOpened = (result: Opened | Unusable): result is Opened => 'image' in result;

const outcome = (pid: HostPid, mapping: RawMapping, from = files) =>
  from.open(pid, mapping).outcome;

function opened(path: string, from = files): Opened {
  const result = outcome(me, mappingOf(path), from);
  assert.ok(isOpened(result), JSON.stringify(result));
  return result;
}

const descriptors = (): number => readdirSync('/proc/self/fd').length;

let files = new OpenFiles(host);
beforeEach(() => {
  files = new OpenFiles(host);
});

test('the same build is one binary, whatever its path; a stripped copy is another', () => {
  const copy = join(folder, 'copy');
  const stripped = join(folder, 'stripped');
  copyFileSync(program, copy);
  execFileSync('strip', ['-o', stripped, program]);
  const before = descriptors();
  assert.equal(opened(program), opened(copy));
  assert.equal(opened(program), opened(program));
  assert.notEqual(opened(stripped).id, opened(program).id);
  assert.equal(opened(stripped).image.buildId, opened(program).image.buildId);
  assert.equal(files.size, 2);
  assert.equal(descriptors(), before + 2);
});

test('equal files of two owners are two: their debug files are not equally good', () => {
  const copy = join(folder, 'copy-of-nobody');
  copyFileSync(program, copy);
  assert.equal(opened(copy).id, opened(program).id);
  files = new OpenFiles(host);
  chownSync(copy, 65_534, 65_534);
  assert.notEqual(opened(copy).id, opened(program).id);
});

test('an equal build id makes no equal files: whoever runs one may have written it', () => {
  const id = '-Wl,--build-id=0x0123456789abcdef0123456789abcdef01234567';
  const [one, other] = ['alpha', 'bravo'].map((name) =>
    compile(
      name,
      `#include <unistd.h>\nvoid ${name}(void) { pause(); }\nint main(void) { ${name}(); }`,
      id,
    ),
  ) as [string, string];
  assert.equal(statSync(one).size, statSync(other).size);
  assert.equal(opened(one).image.buildId, opened(other).image.buildId);
  assert.notEqual(opened(one).id, opened(other).id);
  const copy = join(folder, 'bravo-copy');
  copyFileSync(other, copy);
  assert.equal(opened(copy), opened(other));
});

test('without build id equal ends do not make equal files, equal content does', () => {
  const copy = join(folder, 'bare-copy');
  copyFileSync(bare[0], copy);
  assert.equal(opened(bare[0]).image.buildId, '');
  assert.notEqual(opened(bare[0]).id, opened(bare[1]).id);
  assert.equal(opened(copy), opened(bare[0]));
});

test('a file written anew under the same inode is looked at again', () => {
  const path = join(folder, 'changing');
  writeFileSync(path, 'not a program');
  assert.ok(!isOpened(outcome(me, mappingOf(path))));
  copyFileSync(program, path);
  utimesSync(path, 1, 1);
  assert.ok(isOpened(outcome(me, mappingOf(path))));
});

test('a replaced file is not mistaken for the mapped one', () => {
  const path = join(folder, 'replaced');
  copyFileSync(program, path);
  const mapping = mappingOf(path);
  copyFileSync(bare[0], `${path}.new`);
  renameSync(`${path}.new`, path);
  const result = outcome(me, mapping);
  assert.ok(!isOpened(result));
  assert.equal(result.reason, 'open_failed');
  assert.match(result.message, /another file is there now/);
});

test('FIFOs, devices, directories and absent files: refused at once, nothing left open', () => {
  const fifo = join(folder, 'fifo');
  execFileSync('mkfifo', [fifo]);
  mkdirSync(join(folder, 'directory'));
  const before = descriptors();
  for (const path of [fifo, '/dev/zero', '/dev/tty', join(folder, 'directory'), '/nowhere', '']) {
    const started = performance.now();
    const result = outcome(me, mappingOf(path));
    assert.ok(!isOpened(result), path);
    assert.equal(result.reason, 'open_failed');
    assert.ok(result.transient);
    assert.ok(performance.now() - started < 1000, `${path} blocked`);
  }
  assert.equal(descriptors(), before);
});

test('files that are no programs: why is remembered, nothing is left open', () => {
  const before = descriptors();
  const text = join(folder, 'sleeper.c');
  const first = outcome(me, mappingOf(text));
  assert.ok(!isOpened(first));
  assert.equal(first.transient, false);
  assert.notEqual(first.reason, 'open_failed');
  assert.equal(outcome(me, mappingOf(text)), first);
  const empty = join(folder, 'empty');
  closeSync(openSync(empty, 'w'));
  assert.ok(!isOpened(outcome(me, mappingOf(empty))));
  assert.equal(descriptors(), before);
});

test('the vDSO of this process is a binary, one for all; of a process that is gone it is not', () => {
  const maps = parseMaps(host.readMaps(me)).mappings;
  const vdso = maps.find(({ path }) => path === '[vdso]')!;
  const found = outcome(me, vdso);
  assert.ok(isOpened(found));
  assert.ok(found.image.textSize > 0);
  assert.equal(outcome(me, vdso), found);
  const gone = outcome(hostPid(2 ** 22 + 1), vdso);
  assert.ok(!isOpened(gone) && gone.transient);
  // Hostile: under that name lies something else.
  const heap = outcome(me, { ...maps[0]!, path: '[vdso]', start: vdso.end, end: vdso.end });
  assert.ok(!isOpened(heap));
});

test('a running program that was deleted is opened through its mapping', async () => {
  const path = join(folder, 'deleted');
  copyFileSync(program, path);
  execFileSync('chmod', ['+x', path]);
  const child = spawn(path);
  await once(child, 'spawn');
  try {
    unlinkSync(path);
    const pid = hostPid(child.pid!);
    const mapping = parseMaps(host.readMaps(pid)).mappings.find((one) => one.path.includes(path))!;
    assert.match(mapping.path, /\(deleted\)$/);
    const found = outcome(pid, mapping);
    assert.ok(isOpened(found), JSON.stringify(found));
    assert.equal(found.image.buildId, opened(program).image.buildId);
  } finally {
    child.kill('SIGKILL');
  }
});

const unusable = (outcome: Unusable): Outcome => ({ outcome, identity: undefined });

test('an executable that one process could not give is tried through others, ever more rarely', () => {
  const executable = new Executable(program);
  const mapping = mappingOf('/nowhere');
  let tries = 0;
  const counting = {
    open: (): Outcome =>
      unusable({ reason: 'open_failed', message: `${++tries}`, transient: true }),
  } as unknown as OpenFiles;
  for (let i = 0; i < 100; i++) executable.open(me, mapping, counting);
  assert.equal(tries, 7);
  assert.equal(executable.opened, undefined);
  for (let i = 0; i < 100; i++) executable.open(me, mappingOf(program), files);
  assert.ok(executable.opened);
  assert.equal(executable.unusable, undefined);
});

test('what will never work is tried once', () => {
  const executable = new Executable('/text');
  let tries = 0;
  const counting = {
    open: (): Outcome => unusable({ reason: 'bad_magic', message: `${++tries}`, transient: false }),
  } as unknown as OpenFiles;
  for (let i = 0; i < 100; i++) executable.open(me, mappingOf('/text'), counting);
  assert.equal(tries, 1);
});

/** 10,000 short lives of unique programs need as many files: copies with their own content. */
class UniquePrograms extends LiveHost {
  made = 0;
  readonly #bytes = readFileSync(bare[0]);
  override openMapped(): number {
    const path = join(folder, 'unique');
    this.#bytes.writeUInt32LE(this.made++, this.#bytes.length >> 1);
    writeFileSync(path, this.#bytes);
    const fd = openSync(path, 'r');
    unlinkSync(path);
    return fd;
  }
  override startTime(): undefined {
    return undefined;
  }
  /** Every fourth process is one user's. */
  override userIds(pid: HostPid): readonly number[] {
    return [1000 + (pid % 4)];
  }
}

const limits = {
  keptOpen: 64,
  mostOpen: 96,
  mostOwnText: 2 ** 32,
  keptMs: 180_000,
  sweepMs: 30_000,
};

test('thousands of short-lived unique programs: descriptors and binaries stay bounded', () => {
  const unique = new UniquePrograms(loadAddon());
  const tracker = new ProcessTracker(unique);
  let now = 0;
  const many = new OpenFiles(unique, limits, () => now);
  const before = descriptors();
  const alive = new Set<number>();
  for (let i = 1; i <= 3000; i++) {
    now += 100;
    const identity = { pid: hostPid(i), execId: 1, startNs: bootTime(BigInt(i)) };
    tracker.beginExec(identity.pid);
    tracker.map(identity.pid, { ...mappingOf('/tmp/unique'), inode: inodeNumber(BigInt(i)) });
    const lived = tracker.exec(identity);
    const { what, raw } = lived.mappings[0]!;
    assert.notEqual(what, 'anonymous');
    if (what === 'anonymous') return;
    const result = what.open(identity.pid, raw, many);
    if ('image' in result) alive.add(result.id);
    tracker.exit(identity, monotonicTime(i));
    if (i % 20 === 0) tracker.forget(monotonicTime(i));
    for (const id of many.sweep(tracker.all())) assert.ok(alive.delete(id), 'closed twice');
    assert.equal(many.size, alive.size);
    assert.ok(descriptors() - before <= limits.mostOpen + 2);
  }
  assert.equal(unique.made, 3000, 'none was refused');
  assert.ok(alive.size <= limits.keptOpen + 40, `${alive.size}`);
  tracker.forget(monotonicTime(4000));
  tracker.forget(monotonicTime(4001));
  now += limits.keptMs + limits.sweepMs;
  many.sweep(tracker.all());
  assert.equal(many.size, 0);
  assert.equal(descriptors(), before);
});

test('mapped binaries stay open, however old and many; no more than the most are opened', () => {
  const unique = new UniquePrograms(loadAddon());
  const tracker = new ProcessTracker(unique);
  let now = 0;
  const many = new OpenFiles(unique, limits, () => now);
  const before = descriptors();
  const outcomes: (Opened | Unusable)[] = [];
  for (let i = 1; i <= 120; i++) {
    const identity = { pid: hostPid(i), execId: 1, startNs: bootTime(BigInt(i)) };
    tracker.beginExec(identity.pid);
    tracker.map(identity.pid, { ...mappingOf('/tmp/unique'), inode: inodeNumber(BigInt(i)) });
    const { what, raw } = tracker.exec(identity).mappings[0]!;
    if (what !== 'anonymous') outcomes.push(what.open(identity.pid, raw, many));
  }
  assert.equal(outcomes.filter(isOpened).length, limits.mostOpen);
  const refused = outcomes.at(-1)!;
  assert.ok('reason' in refused && refused.reason === 'too_many_open');
  for (let i = 0; i < 10; i++) {
    now += 200_000;
    assert.deepEqual(many.sweep(tracker.all()), []);
  }
  for (let i = 1; i <= 120; i++) {
    tracker.exit({ pid: hostPid(i), execId: 1, startNs: bootTime(BigInt(i)) }, monotonicTime(1));
  }
  tracker.forget(monotonicTime(2));
  tracker.forget(monotonicTime(3));
  now += 200_000;
  assert.equal(many.sweep(tracker.all()).length, limits.mostOpen);
  assert.equal(descriptors(), before);
});

test('one user’s files, many or large, leave room for those of the others', () => {
  // On a busy machine each of hundreds of files would wait its turn, at its owner's expense.
  const unique = new UniquePrograms(loadAddon(), undefined, undefined, () => 0);
  const bareText = opened(bare[0]).image.textSize;
  for (const [mostOwnText, held] of [
    [2 ** 32, limits.mostOpen / 2],
    [10.5 * bareText, 10],
  ] as const) {
    const many = new OpenFiles(unique, { ...limits, mostOwnText });
    const before = descriptors();
    const open = (pid: number) => many.open(hostPid(pid), mappingOf('/tmp/unique')).outcome;
    const mine = Array.from({ length: 200 }, () => open(4));
    const reasons = mine.map((one) => ('reason' in one ? one.reason : 'opened'));
    assert.deepEqual(new Set(reasons.slice(0, held)), new Set(['opened']));
    assert.deepEqual(new Set(reasons.slice(held)), new Set(['too_many_open_of_owner']));
    assert.equal(many.problems.get('too_many_open_of_owner'), 200 - held);
    assert.equal(descriptors(), before + held, 'of those refused none is left open');
    for (let i = 0; i < 10; i++) assert.ok(isOpened(open(5)));
    // What is closed is on nobody's account any more.
    many.discard(mine[0] as Opened, 'gone');
    assert.ok(isOpened(open(4)));
    assert.ok(!isOpened(open(4)));
    many.close();
    assert.ok(isOpened(open(4)));
    many.close();
    assert.equal(descriptors(), before);
  }
});

test('a closed binary is opened anew, under a new id', () => {
  let now = 0;
  const some = new OpenFiles(host, limits, () => now);
  const executable = new Executable(program);
  const first = executable.open(me, mappingOf(program), some);
  assert.ok(isOpened(first));
  now += 300_000;
  assert.deepEqual(some.sweep([]), [first.id]);
  assert.equal(executable.opened, undefined);
  assert.throws(() => first.source.read(0, 4), { reason: 'closed' });
  const second = executable.open(me, mappingOf(program), some);
  assert.ok(isOpened(second));
  assert.notEqual(second.id, first.id);
  assert.equal(second.source.read(0, 4)[1], 'E'.charCodeAt(0));
  some.sweep([]);
  now += 300_000;
  some.sweep([]);
});

test('close() gives all descriptors back', () => {
  const before = descriptors();
  const files = new OpenFiles(host);
  for (const path of [program, ...bare]) opened(path, files);
  assert.ok(descriptors() >= before + 2);
  files.close();
  assert.deepEqual([descriptors(), files.size], [before, 0]);
});
