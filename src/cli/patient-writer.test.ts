import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { createLog } from './log.ts';
import { PatientWriter } from './patient-writer.ts';

const dropped = (lines: number): string => `${lines} dropped\n`;

/** A reader with room for so many bytes. */
function reader(room: number) {
  const read: Buffer[] = [];
  const state = { room, text: () => Buffer.concat(read).toString() };
  const write = (bytes: Uint8Array): number => {
    if (state.room === 0) throw Object.assign(new Error('full'), { code: 'EAGAIN' });
    const taken = bytes.slice(0, state.room);
    state.room -= taken.length;
    read.push(Buffer.from(taken));
    return taken.length;
  };
  return { state, write };
}

test('what finds no room waits in its order; what is too much is counted', async () => {
  const { state, write } = reader(3);
  const writer = new PatientWriter(write, { maxBytes: 10, dropped });
  for (const line of ['one\n', 'two\n', 'three\n', 'four\n', 'five\n']) writer.write(line);
  assert.equal(state.text(), 'one');
  state.room = 1000;
  await writer.end(60_000);
  assert.equal(state.text(), 'one\ntwo\n3 dropped\n');
  writer.write('six\n');
  assert.equal(state.text(), 'one\ntwo\n3 dropped\nsix\n');
});

test('a reader that has gone costs nothing', async () => {
  let attempts = 0;
  const writer = new PatientWriter(
    () => {
      attempts++;
      throw Object.assign(new Error('gone'), { code: 'EPIPE' });
    },
    { maxBytes: 10, dropped },
  );
  for (let i = 0; i < 100; i++) writer.write('line\n');
  await writer.end(60_000);
  assert.ok(attempts >= 1);
});

// A stuck reader of a pipe held up the thread that drains the rings.
test('a log into a full pipe that nobody reads does not wait', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'flametap-log-'));
  const path = join(folder, 'pipe');
  execFileSync('mkfifo', [path]);
  const reading = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const writing = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
  try {
    const log = createLog(false, 'info', (bytes) => writeSync(writing, bytes));
    // 64 KiB fit the pipe, 1 MiB waits.
    for (let i = 0; i < 30_000; i++) log.info({ i }, 'a line of usual length');
    let text = '';
    const chunk = Buffer.alloc(1 << 16);
    const ended = log.end(60_000);
    let isEnded = false;
    void ended.then(() => {
      isEnded = true;
    });
    const readOn = (): boolean => {
      try {
        text += chunk.toString('latin1', 0, readSync(reading, chunk));
        return true;
      } catch {
        return false;
      }
    };
    while (!isEnded) {
      readOn();
      await new Promise(setImmediate);
    }
    while (readOn());
    const lines = text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    const last = lines.at(-1);
    assert.match(last.msg, /lines were dropped/);
    assert.equal(lines.length - 1 + last.lines, 30_000);
    assert.ok(last.lines > 1000, `${last.lines} dropped`);
    assert.deepEqual(
      lines.slice(0, 1000).map(({ i }) => i),
      Array.from({ length: 1000 }, (_, i) => i),
    );
  } finally {
    for (const fd of [reading, writing]) closeSync(fd);
    rmSync(folder, { recursive: true });
  }
});
