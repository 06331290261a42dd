import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { RecordType } from '../capture/record.ts';
import { drained, eventRecord, sampleRecord } from '../capture/testing.ts';
import { readBatch } from './batch.ts';
import { RecordWriter } from './record-writer.ts';

function viewOf(...records: Uint8Array[]): DataView {
  const { buffer, length } = drained(...records);
  return new DataView(buffer, 0, length);
}

const none = new Uint8Array();

test('events of all rings come in the order of their times, equal ones as they were written', () => {
  const view = viewOf(
    eventRecord(RecordType.Exec, 1, 30),
    eventRecord(RecordType.Exit, 2, 10),
    sampleRecord({ pid: 3, time: 20, stack: new Uint8Array(8) }),
    eventRecord(RecordType.Fork, 4, 20),
  );
  const { events } = readBatch(view, none);
  assert.deepEqual(
    events.map((event) => [event.kind, event.time]),
    [
      ['exit', 10],
      ['deferred', 20],
      ['fork', 20],
      ['exec', 30],
    ],
  );
  const fork = events[2]!;
  assert.ok(fork.kind === 'fork');
  assert.deepEqual([fork.identity.pid, fork.parent.pid], [4, 1]);
  assert.equal(fork.identity.startNs, 5_000_000_000n);
});

test('any damage: no error, and every deferred sample can be written out', () => {
  const records = [
    sampleRecord({ kernel: [1, 2], stack: new Uint8Array(16) }),
    eventRecord(RecordType.Fork, 4),
    sampleRecord({ stack: new Uint8Array(8) }),
  ];
  const { length } = drained(...records);
  const change = fc.tuple(fc.nat(length - 1), fc.nat(255));
  const walked = {
    addresses: new Float64Array(),
    exact: new Uint8Array(),
    length: 0,
    end: 'process_gone',
  } as const;
  fc.assert(
    fc.property(fc.array(change, { maxLength: 12 }), fc.nat(length), (changes, cut) => {
      const { buffer } = drained(...records);
      const bytes = new Uint8Array(buffer).slice(0, cut);
      for (const [at, value] of changes) if (at < cut) bytes[at] = value;
      const view = new DataView(bytes.buffer);
      const writer = new RecordWriter();
      for (const event of readBatch(view, bytes).events) {
        if (event.kind === 'deferred') writer.write(view, event.at, walked, 1);
      }
    }),
    { seed: 29, numRuns: 2000 },
  );
});
