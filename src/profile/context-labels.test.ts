import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ContextOutcome, contextCode, LABEL_THREAD_CONTEXT } from '../capture/record.ts';
import { wantedKeys } from '../context/wanted-keys.ts';
import { Aggregator } from './aggregator.ts';
import { contextLabels } from './context-labels.ts';
import { commOf } from './fixture.test-support.ts';

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const SPAN = 'b7ad6b7169203331';
const wanted = wantedKeys(['trace_id', 'span_id', 'tenant']);
const numberOf = (key: string): number => wanted.findIndex((each) => each.key === key);

type Entry = readonly [key: number, value: Uint8Array | string];

/** As the kernel side writes it. */
function block(entries: readonly Entry[]): Uint32Array {
  const bytes = entries.flatMap(([key, value]) => {
    const text = Buffer.from(value);
    const entry = [key & 0xff, key >> 8, text.length & 0xff, text.length >> 8, ...text];
    return [...entry, ...new Array((8 - (entry.length % 8)) % 8).fill(0)];
  });
  return new Uint32Array(Uint8Array.from(bytes).buffer);
}

interface Given {
  readonly outcome?: ContextOutcome;
  readonly entries?: readonly Entry[];
}

function labelled(
  given: readonly Given[],
  selected?: readonly string[],
  keys?: readonly string[],
  maxContexts = 100,
  asked = wanted,
) {
  const aggregator = new Aggregator({ maxBytes: 32 << 20, maxContexts });
  const instance = aggregator.instance(7, 1, 0, 0, aggregator.comm(commOf('app'), 0));
  const ids = given.map(({ outcome = 'read', entries = [] }) => {
    const words = block(entries);
    return aggregator.context(instance, contextCode(outcome), words, 0, words.length);
  });
  const { sets, missing } = contextLabels(aggregator.drain().contexts, {
    wanted: asked,
    attributeKeys: () => keys,
    selected: selected && new Set(selected),
  });
  return ids.map((id) => ({
    labels: Object.fromEntries(sets[id]!.map(({ key, value }) => [key, value])),
    missing: missing[id],
  }));
}

const threadRecord = (...attributes: number[]): Uint8Array =>
  Uint8Array.from([...Buffer.from(TRACE + SPAN, 'hex'), 1, 1, attributes.length, 0, ...attributes]);

test('wanted keys become labels under one name, in canonical form', () => {
  const [dog, old] = labelled([
    {
      entries: [
        [numberOf('span id'), '13235353014750950193'],
        [numberOf('trace id'), TRACE.toUpperCase()],
        [numberOf('tenant'), 'grün'],
      ],
    },
    {
      entries: [
        [numberOf('profile_id'), '1111111111111111'],
        [numberOf('span_id'), SPAN],
      ],
    },
  ]);
  assert.deepEqual(dog, {
    labels: { trace_id: TRACE, span_id: SPAN, tenant: 'grün' },
    missing: undefined,
  });
  assert.deepEqual(old?.labels, { span_id: SPAN });
});

test('a key that an id has may be wanted as it stands, too', () => {
  const both = wantedKeys(['span id', 'span_id']);
  const number = both.findIndex(({ key }) => key === 'span id');
  const entries = [[number, '13235353014750950193'] as const];
  const [one] = labelled([{ entries }], undefined, undefined, 100, both);
  assert.deepEqual(one, {
    labels: { 'span id': '13235353014750950193', span_id: SPAN },
    missing: undefined,
  });
});

test('an id that is none is left out and said, the others stay', () => {
  const [one] = labelled([
    {
      entries: [
        [numberOf('trace_id'), 'not hex'],
        [numberOf('span_id'), SPAN],
      ],
    },
  ]);
  assert.deepEqual(one, { labels: { span_id: SPAN }, missing: 'context_malformed' });
});

test('a thread record gives both ids, and attributes by the key map of its process', () => {
  const entries: Entry[] = [[LABEL_THREAD_CONTEXT, threadRecord(1, 2, 0x6f, 0x6b)]];
  const [named] = labelled([{ entries }], undefined, ['http.route', 'status']);
  assert.deepEqual(named, {
    labels: { trace_id: TRACE, span_id: SPAN, status: 'ok' },
    missing: undefined,
  });
  const [chosen] = labelled([{ entries }], ['trace_id'], ['http.route', 'status']);
  assert.deepEqual(chosen?.labels, { trace_id: TRACE });
  const [nameless] = labelled([{ entries }]);
  assert.deepEqual(nameless, {
    labels: { trace_id: TRACE, span_id: SPAN },
    missing: 'attribute_keys_unknown',
  });
});

test('an attribute is no id, and nothing that we say ourselves, whatever it is called', () => {
  const record = threadRecord(0, 1, 0x61, 1, 1, 0x62, 2, 1, 0x63);
  const keys = ['trace_id', 'thread', 'tenant'];
  const [named] = labelled(
    [{ entries: [[LABEL_THREAD_CONTEXT, record.fill(0, 0, 24)]] }],
    undefined,
    keys,
  );
  assert.deepEqual(named, { labels: { tenant: 'c' }, missing: undefined });
});

test('why labels could not be read is said, but not of processes that nobody knew', () => {
  const outcomes: ContextOutcome[] = ['none', 'read', 'context_changing', 'unknown_process'];
  const missing = labelled(outcomes.map((outcome) => ({ outcome }))).map((each) => each.missing);
  assert.deepEqual(missing, [undefined, undefined, 'context_changing', undefined]);
});

test('first samples of a process whose later ones have labels lack theirs', () => {
  const entries = [[numberOf('tenant'), 'a'] as const];
  const missing = labelled([{ outcome: 'unknown_process' }, { entries }]).map(
    (each) => each.missing,
  );
  assert.deepEqual(missing, ['context_missed', undefined]);
});

test('contexts that are too many share no labels, and say so', () => {
  const given = ['a', 'b', 'c', 'd'].map((value) => ({
    entries: [[numberOf('tenant'), value] as const],
  }));
  // Two are taken by "nothing" and "too many".
  assert.deepEqual(labelled(given, undefined, undefined, 4), [
    { labels: { tenant: 'a' }, missing: undefined },
    { labels: { tenant: 'b' }, missing: undefined },
    { labels: {}, missing: 'labels_overflow' },
    { labels: {}, missing: 'labels_overflow' },
  ]);
});

test('a block that contradicts itself ends there', () => {
  const words = block([[numberOf('tenant'), 'whole']]);
  const cut = Uint32Array.from([...words, 0xffff_0002]);
  const aggregator = new Aggregator({ maxBytes: 32 << 20 });
  const id = aggregator.context(0, contextCode('read'), cut, 0, cut.length);
  const { sets, missing } = contextLabels(aggregator.drain().contexts, {
    wanted,
    attributeKeys: () => undefined,
    selected: undefined,
  });
  assert.deepEqual(sets[id], [{ key: 'tenant', value: 'whole' }]);
  assert.equal(missing[id], 'context_malformed');
});
