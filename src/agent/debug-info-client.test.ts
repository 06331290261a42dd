import assert from 'node:assert/strict';
import { closeSync, fstatSync, openSync, readdirSync } from 'node:fs';
import { afterEach, test } from 'node:test';
import type { VirtualAddress } from '../units/units.ts';
import { DEBUG_INFO_LIMITS, DebugInfoClient, type DebugInfoLimits } from './debug-info-client.ts';
import { DebugInfoFile } from './debug-info-file.ts';
import { DebugInfoWait } from './debug-info-wait.ts';

const STUB = new URL('./debug-info-stub-main.test-support.ts', import.meta.url);
const THIS_FILE = import.meta.filename;
const address = (value: number) => value as VirtualAddress;

let clients: DebugInfoClient[] = [];
let nextId = 1;

function clientOf(limits: Partial<DebugInfoLimits> = {}): DebugInfoClient {
  const client = new DebugInfoClient({ ...DEBUG_INFO_LIMITS, ...limits }, undefined, STUB);
  clients.push(client);
  return client;
}

/** A file that the stub treats as `behaviour` says, with addresses that occurred. */
function fileOf(behaviour: string, ...addresses: number[]): DebugInfoFile {
  return fileOfOwner('somebody', behaviour, ...addresses);
}

function fileOfOwner(owner: string, behaviour: string, ...addresses: number[]): DebugInfoFile {
  const open = () => openSync(THIS_FILE, 'r');
  const giveBack = (descriptors: readonly number[]) => {
    for (const fd of descriptors) closeSync(fd);
  };
  const origin = { id: nextId++, path: behaviour, owner, roots: () => [], open, giveBack };
  const file = new DebugInfoFile(origin);
  for (const each of addresses) file.occurred(address(each), false);
  return file;
}

const descriptors = () => readdirSync('/proc/self/fd').length;

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 20));
}

afterEach(() => {
  for (const client of clients) client.close();
  clients = [];
});

test('Answers reach the file, in the order of ascending addresses, and descriptors are closed', async () => {
  const client = clientOf();
  const before = descriptors();
  const file = fileOf('answers', 30, 10, 20);
  await client.ask([file]);
  const inode = fstatSync(openSync(THIS_FILE, 'r')).ino;
  for (const each of [10, 20, 30]) {
    const learned = file.take(address(each));
    assert.deepEqual(learned?.lines[0]?.name, `inode ${inode}`);
    assert.equal(learned.lines[0].line, each);
    assert.equal(learned.kind, 'dwarf');
    assert.equal(file.hasNews(address(each)), false, 'an answer is taken once');
  }
  assert.deepEqual([...file.problems], [['stub_problem', 1]]);
  assert.equal(file.questions, 0);
  client.close();
  await until(() => descriptors() <= before + 1);
});

test('Nothing is asked twice, and a file without debug information never again', async () => {
  const client = clientOf();
  const [file, empty] = [fileOf('answers', 1), fileOf('none', 1)];
  await client.ask([file, empty]);
  file.occurred(address(1), true);
  empty.occurred(address(2), false);
  assert.equal(file.questions, 0);
  assert.equal(empty.questions, 0);
  assert.equal(empty.mayAnswer, false);
  file.occurred(address(2), false);
  assert.equal(file.questions, 1);
});

for (const [behaviour, reason, limits] of [
  ['hangs', 'debug_info_time_limit', { requestMs: 3_000 }],
  ['heap', 'debug_info_memory_limit', { heapMib: 24 }],
  ['buffers', 'debug_info_memory_limit', { threadBytes: 64 << 20 }],
  ['throws', 'debug_info_crash', {}],
  ['exits', 'debug_info_crash', {}],
] as const) {
  test(`A file whose thread ${behaviour} is given up with a reason; others are served by a new thread`, async () => {
    const client = clientOf(limits);
    const before = descriptors();
    const bad = fileOf(behaviour, 1, 2);
    const good = fileOf('answers', 1);
    await client.ask([bad, good]);
    assert.deepEqual([...bad.problems], [[reason, 1]]);
    assert.equal(bad.mayAnswer, false);
    assert.ok(good.hasNews(address(1)));
    client.close();
    await until(() => descriptors() <= before);
  });
}

test('A source that costs too much is left out, and the next one has the answer', async () => {
  const client = clientOf({ requestMs: 4_000 });
  const file = fileOf('hangs in its first source', 1);
  await client.ask([file]);
  assert.equal(file.take(address(1))?.lines[0]?.name, 'first');
  assert.equal(file.mayAnswer, true);
  assert.deepEqual(
    [...file.problems],
    [
      ['debug_info_time_limit', 1],
      ['stub_problem', 1],
    ],
  );
});

test('A thread is told which sources were summed before', async () => {
  const client = clientOf({ idleMs: 20 });
  const file = fileOf('sums its sources', 1);
  await client.ask([file]);
  await until(() => !client.running);
  file.occurred(address(2), false);
  await client.ask([file]);
  const names = [1, 2].map((each) => file.take(address(each))?.lines[0]?.name);
  assert.deepEqual(names, ['|', 'good|bad']);
});

test('Hostile files hold the others up for a turn at most, and go last from then on', async () => {
  const client = clientOf({ requestMs: 20_000, turnMs: 300 });
  const hostile = [1, 2, 3].map(() => fileOf('hangs', 1));
  void client.ask(hostile);
  const good = fileOf('answers', 1);
  await client.ask([good]);
  assert.ok(good.hasNews(address(1)));
  for (const each of hostile) assert.deepEqual([each.rank, each.mayAnswer], [1, true]);
});

test('A file that is alone has all of its time', async () => {
  const client = clientOf({ turnMs: 100 });
  const file = fileOf('slow', 1);
  await client.ask([file]);
  assert.deepEqual([file.rank, file.hasNews(address(1))], [0, true]);
});

test('What other threads take is not the fault of a file', async () => {
  const client = clientOf({ threadBytes: 64 << 20 });
  const file = fileOf('slow', 1);
  const asked = client.ask([file]);
  await until(() => client.running);
  const mine = new Uint8Array(256 << 20).fill(1);
  await asked;
  assert.deepEqual([...file.problems], [['stub_problem', 1]]);
  assert.equal(mine.at(-1), 1);
});

test('A file that was closed meanwhile is given up, the next one served', async () => {
  const client = clientOf();
  const closed = new DebugInfoFile({
    id: nextId++,
    path: 'answers',
    owner: 'somebody',
    roots: () => [],
    open() {
      throw new Error('closed');
    },
    giveBack() {},
  });
  closed.occurred(address(1), false);
  const good = fileOf('answers', 1);
  await client.ask([closed, good]);
  assert.deepEqual([...closed.problems], [['debug_info_file_closed', 1]]);
  assert.ok(good.hasNews(address(1)));
});

test('The descriptor that is asked with is the file, also when its number was used before', async () => {
  const client = clientOf();
  const other = openSync('/proc/self/exe', 'r');
  closeSync(other);
  const file = fileOf('answers', 5);
  await client.ask([file]);
  const fd = openSync(THIS_FILE, 'r');
  const { ino } = fstatSync(fd);
  closeSync(fd);
  assert.equal(file.take(address(5))?.lines[0]?.name, `inode ${ino}`);
});

test('Idle, the thread ends; the next question starts another', async () => {
  const client = clientOf({ idleMs: 50 });
  await client.ask([fileOf('answers', 1)]);
  assert.equal(client.running, true);
  await until(() => !client.running);
  const file = fileOf('answers', 1);
  await client.ask([file]);
  assert.ok(file.hasNews(address(1)));
});

/** As good as nothing is paid back while a test runs. */
const poor = { idleMs: 20, cpuShare: 1e-9 };

test('A thread that rests is not started for a few late addresses, but for a new file or for many', async () => {
  const client = clientOf(poor);
  const file = fileOf('answers', 1);
  await client.ask([file]);
  await until(() => !client.running);
  file.occurred(address(2), false);
  await client.ask([file]);
  assert.equal(client.running, false);
  assert.equal(file.questions, 1, 'still wanted');
  for (let i = 10; i < 600; i++) file.occurred(address(i), false);
  await client.ask([file]);
  assert.ok(file.hasNews(address(2)));
  await until(() => !client.running);
  const rare = fileOf('answers', 1);
  await client.ask([rare]);
  assert.equal(client.running, false, 'one sample can wait');
  const another = fileOf('answers');
  another.occurred(address(1), false, 30);
  await client.ask([another, rare]);
  assert.ok(another.hasNews(address(1)));
  assert.ok(rare.hasNews(address(1)), 'asked along with it');
});

test('A thread that rests is started for code that has become hot, and what is left out meanwhile counted', async () => {
  const client = clientOf(poor);
  const wait = new DebugInfoWait(client, { namesMs: 60_000, downloadsMs: 0 }, () => {});
  const file = fileOf('answers', 1);
  const flush = (frames: number) => wait.for(new Set([file]), frames);
  await flush(1);
  await until(() => !client.running);
  assert.deepEqual([...file.problems.keys()], ['stub_problem']);
  // Of 150 samples in 100,000 frames of all files, then of the only ones, but few.
  file.occurred(address(2), false, 150);
  await flush(100_000);
  file.occurred(address(2), true, 99);
  await flush(99);
  assert.equal(client.running, false);
  assert.equal(file.problems.get('debug_info_resting'), 2);
  file.occurred(address(2), true, 100);
  await flush(10_000);
  assert.ok(file.hasNews(address(2)));
  assert.equal(file.problems.get('debug_info_resting'), 2);
});

test('Hot code that never ends is asked for a few times, then when that is paid back', async () => {
  const client = clientOf(poor);
  const file = fileOf('answers', 0);
  let starts = 0;
  while (starts < 50) {
    file.occurred(address(starts + 1), false, 100);
    await client.ask([file], 1_000);
    if (file.questions > 0) break;
    starts++;
    await until(() => !client.running);
  }
  assert.ok(starts > 1 && starts < 50, `${starts} starts`);
});

test('What an owner owes stops his files, also while a thread runs, and nobody else', async () => {
  // The start alone counts as 80 ms.
  const limits = { idleMs: 3_600_000, requestMs: 300_000, newsMs: 100, hotMs: 100 };
  const client = clientOf({ ...poor, ...limits });
  const hostile = fileOfOwner('hostile', 'takes 50 ms and throws');
  hostile.occurred(address(1), false, 30);
  await client.ask([hostile]);
  assert.deepEqual([...hostile.problems], [['debug_info_crash', 1]]);
  const next = fileOfOwner('hostile', 'answers');
  const good = fileOfOwner('somebody else', 'answers');
  for (const file of [next, good]) file.occurred(address(1), false, 30);
  await client.ask([next, good]);
  assert.ok(good.hasNews(address(1)));
  assert.deepEqual([client.running, next.questions, next.setbacks], [true, 1, 0]);
  assert.equal(client.rests(next), true);
});

test('Late addresses are asked for when what was taken is paid back', async () => {
  const client = clientOf({ idleMs: 20, cpuShare: 0.5 });
  const file = fileOf('answers', 1);
  await client.ask([file]);
  await until(() => !client.running);
  assert.equal(client.rests(file), true);
  await until(() => !client.rests(file));
  file.occurred(address(2), false);
  await client.ask([file]);
  assert.ok(file.hasNews(address(2)));
});

test('Answers while a download runs are provisional: it is waited for, then all is asked again', async () => {
  const client = clientOf({ idleMs: 50 });
  const file = fileOf('downloads', 1);
  await client.ask([file]);
  assert.equal(file.take(address(1))?.lines[0]?.name, 'meanwhile');
  assert.equal(file.pending, true);
  assert.equal(client.downloads, 1);
  await client.ask([file]);
  assert.equal(file.hasNews(address(1)), false, 'not asked before the download has ended');
  await client.downloaded();
  assert.equal(client.running, true, 'a thread that downloads is not idle');
  await client.ask([file]);
  assert.equal(file.take(address(1))?.lines[0]?.name, 'downloaded');
});

test('New addresses are answered while a download runs, each once', async () => {
  const client = clientOf();
  const file = fileOf('downloads for ever', 1);
  await client.ask([file]);
  file.occurred(address(2), false);
  assert.equal(file.questions, 1);
  await client.ask([file]);
  assert.equal(file.take(address(2))?.lines[0]?.name, 'meanwhile');
  assert.deepEqual([file.questions, file.pending], [0, true]);
});

test('A thread that only downloads is told to free what it has read', async () => {
  const client = clientOf({ idleMs: 50 });
  await client.ask([fileOf('downloads for ever', 1)]);
  // The stub has no downloads any more when it is told.
  await until(() => !client.running);
});

test('When a hostile file ends the thread, downloads of others are asked for anew', async () => {
  const client = clientOf({ requestMs: 3_000 });
  const downloading = fileOf('downloads for ever', 1);
  await client.ask([downloading]);
  assert.equal(downloading.pending, true);
  const hanging = fileOf('hangs', 1);
  await client.ask([hanging]);
  assert.equal(hanging.mayAnswer, false);
  assert.equal(downloading.pending, false);
  assert.equal(downloading.mayAnswer, true);
  assert.equal(downloading.questions, 1);
});

test('Waiting ends after its time; the answer is used at the next flush', async () => {
  const client = clientOf();
  const wait = new DebugInfoWait(client, { namesMs: 30, downloadsMs: 0 }, () => {});
  const file = fileOf('slow', 1);
  await wait.for(new Set([file]), 1);
  assert.equal(file.hasNews(address(1)), false);
  assert.deepEqual([...file.problems], [['debug_info_not_waited_for', 1]]);
  await until(() => file.hasNews(address(1)));
  await wait.for(new Set([file]), 1);
  assert.equal(file.problems.get('debug_info_not_waited_for'), 1);
});

test('What is still being read when nobody waits any longer is counted', async () => {
  const client = clientOf();
  const wait = new DebugInfoWait(client, { namesMs: 200, downloadsMs: 0 }, () => {});
  const [file, behind] = [fileOf('hangs', 1), fileOf('answers', 1)];
  const over = wait.for(new Set([file, behind]), 1);
  wait.hurry();
  await over;
  for (const each of [file, behind]) {
    assert.deepEqual([...each.problems], [['debug_info_not_waited_for', 1]]);
  }
});

for (const behaviour of ['downloads', 'downloads at once']) {
  test(`Patience: a file that ${behaviour} has the better answer`, async () => {
    const client = clientOf();
    const wait = new DebugInfoWait(client, { namesMs: 60_000, downloadsMs: 60_000 }, () => {});
    const file = fileOf(behaviour, 1);
    await wait.for(new Set([file]), 1);
    assert.equal(file.take(address(1))?.lines[0]?.name, 'downloaded');
  });
}

test('Whoever wants to go waits no longer for downloads', async () => {
  const client = clientOf();
  const waiting: unknown[] = [];
  const patience = { namesMs: 3_600_000, downloadsMs: 3_600_000 };
  const wait = new DebugInfoWait(client, patience, (each) => waiting.push(each));
  // The thread is there before the time begins after which waiting is told of.
  await client.ask([fileOf('answers', 1)]);
  const file = fileOf('downloads for ever', 1);
  const over = wait.for(new Set([file]), 1);
  await until(() => waiting.length > 0);
  assert.deepEqual(waiting, [{ files: 1, downloads: 1 }]);
  wait.hurry();
  await over;
  assert.equal(file.take(address(1))?.lines[0]?.name, 'meanwhile');
  assert.deepEqual(
    [...file.problems],
    [
      ['stub_problem', 1],
      ['debuginfod_pending', 1],
    ],
  );
});

test('close() lets everybody go who waits', async () => {
  const client = clientOf();
  const asked = client.ask([fileOf('hangs', 1), fileOf('answers', 1)]);
  client.close();
  await asked;
});
