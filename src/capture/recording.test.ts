import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import { ChunkKind, RecordingWriter, readRecording } from './recording.ts';

const about = { hz: 99, startTime: '1700000000000000000', host: 'here', labels: [] };
let folder = '';
let path = '';

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'flametap-recording-'));
  path = join(folder, 'recording');
});

after(() => rmSync(folder, { recursive: true }));

const descriptors = (): number => readdirSync('/proc/self/fd').length;

function write(chunks: readonly (readonly [number, Uint8Array])[]): void {
  const writer = new RecordingWriter(path, about);
  for (const [kind, bytes] of chunks) writer.write(kind, bytes);
  writer.close();
}

const read = (): [number, Uint8Array][] =>
  Array.from(readRecording(path), ({ kind, bytes }) => [kind, bytes.slice()]);

test('what is written is read again, chunk by chunk', () => {
  const chunk = fc.tuple(fc.constantFrom(2, 3, 4, 5), fc.uint8Array({ maxLength: 100 }));
  fc.assert(
    fc.property(fc.array(chunk, { maxLength: 8 }), (chunks) => {
      write(chunks);
      const [[kind, json], ...rest] = read() as [[number, Uint8Array], ...[number, Uint8Array][]];
      assert.equal(kind, ChunkKind.About);
      assert.deepEqual(JSON.parse(new TextDecoder().decode(json)), about);
      assert.deepEqual(rest, chunks);
    }),
    { seed: 23, numRuns: 100 },
  );
});

test('records lie at the start of their buffer, larger chunks than the buffer among them', () => {
  const large = new Uint8Array(3 << 20).fill(7);
  write([[ChunkKind.Records, large]]);
  for (const { kind, bytes } of readRecording(path)) {
    assert.equal(bytes.byteOffset, 0);
    assert.equal(bytes.buffer.byteLength % 8, 0);
    if (kind === ChunkKind.Records) assert.deepEqual(bytes.slice(), large);
  }
});

test('cut off anywhere: an error that names the file, no descriptor left open', () => {
  write([[ChunkKind.Records, new Uint8Array(21).fill(1)]]);
  const whole = readFileSync(path);
  const starts = [24, whole.length - 8 - 24];
  const open = descriptors();
  for (let cut = 0; cut < whole.length; cut++) {
    writeFileSync(path, whole.subarray(0, cut));
    if (starts.includes(cut)) assert.doesNotThrow(read, `cut at ${cut}`);
    else assert.throws(read, (error: Error) => error.message.includes(path), `cut at ${cut}`);
  }
  assert.equal(descriptors(), open);
});

test('other files, other versions and lying lengths are refused', () => {
  for (const text of ['', 'PK', 'flametap records 1\n\0\0\0\0\0', 'x'.repeat(100)]) {
    writeFileSync(path, text);
    assert.throws(read, /not a recording/);
  }
  write([]);
  const bytes = readFileSync(path);
  for (const length of [0xffff_ffff, 0xffff_fff9, 0x8000_0000, (64 << 20) + 1]) {
    bytes.writeUInt32LE(length, 28);
    writeFileSync(path, bytes);
    assert.throws(read, /is damaged/);
  }
  assert.throws(() => [...readRecording(join(folder, 'absent'))], { code: 'ENOENT' });
});

test('stopping early closes the file', () => {
  write([[ChunkKind.Records, new Uint8Array(8)]]);
  const open = descriptors();
  for (const _ of readRecording(path)) break;
  assert.equal(descriptors(), open);
});

test('words of 64 bits are kept in digits', () => {
  const started = 2n ** 63n + 1n;
  const writer = new RecordingWriter(path, about);
  writer.writeJson(ChunkKind.Snapshot, { started });
  writer.close();
  const texts = Array.from(readRecording(path), ({ bytes }) => new TextDecoder().decode(bytes));
  assert.deepEqual(JSON.parse(texts[1]!), { started: String(started) });
});

test('a full disk: an error that names the file and its cause, no descriptor left open', () => {
  const open = descriptors();
  assert.throws(
    () => new RecordingWriter('/dev/full', about),
    (error: Error) =>
      /\/dev\/full/.test(error.message) && (error.cause as NodeJS.ErrnoException).code === 'ENOSPC',
  );
  assert.throws(() => new RecordingWriter(join(folder, 'no/such/folder'), about), {
    code: 'ENOENT',
  });
  assert.equal(descriptors(), open);
});
