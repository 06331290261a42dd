import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { InternedTables, type ProfileTables } from './interned-tables.ts';

const STACKS = 8_000;
const LOCATIONS = 20_000;

const profileOfStacks = (): ProfileTables => {
  let last = 1;
  const anyLocation = (): number => {
    last = Math.imul(last, 48_271) >>> 0;
    return last % LOCATIONS;
  };
  const none = { start: 0, end: 0, fileOffset: 0, file: '', buildId: '', goBuildId: '' };
  return {
    mappings: [none],
    functions: [
      { name: 'f', shortName: 'f', systemName: 'f', file: '', startLine: 0, unnamed: false },
    ],
    locations: Array.from({ length: LOCATIONS }, (_, at) => ({
      mapping: 0,
      address: 4_096 + at * 16,
      type: 'native',
      lines: [{ function: 0, line: 0, column: 0 }],
    })),
    stacks: Array.from({ length: STACKS }, () => Uint32Array.from({ length: 40 }, anyLocation)),
    processes: [],
    threads: [''],
    labelSets: [[]],
  };
};

test('the estimate of bytes, which bounds the store, is what V8 really takes', () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const used = (): number => {
    collect();
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    return heapUsed + arrayBuffers;
  };
  const profile = profileOfStacks();
  const before = used();
  const tables = new InternedTables();
  const { stack } = tables.translator(profile);
  const ids = new Set(profile.stacks.map((_, index) => stack(index)));
  const grown = used() - before;
  assert.equal(ids.size, STACKS);
  const ratio = grown / tables.bytes;
  assert.ok(ratio > 0.5 && ratio < 1.5, `${grown} bytes, estimated ${tables.bytes}`);
});

test('stacks longer than one call takes are told apart', () => {
  const profile = profileOfStacks();
  const long = Uint32Array.from({ length: 20_000 }, (_, at) => at % LOCATIONS);
  const other = long.slice();
  other[19_999] = 0;
  const tables = new InternedTables();
  const { stack } = tables.translator({ ...profile, stacks: [long, other, long.slice()] });
  assert.equal(stack(0), stack(2));
  assert.notEqual(stack(0), stack(1));
});

test('goroutines are not told apart in what is kept, other labels are', () => {
  const goroutine = { key: 'goroutine', value: '7' };
  const creator = { key: 'goroutine_created_by', value: 'main.serve' };
  const kind = { key: 'goroutine_kind', value: 'user' };
  const trace = { key: 'trace_id', value: '0af7651916cd43dd8448eb211c80319c' };
  const labelSets = [[], [goroutine, creator, kind], [goroutine, trace]];
  const tables = new InternedTables();
  const { labels } = tables.translator({ ...profileOfStacks(), labelSets });
  assert.equal(labels(1), labels(0));
  assert.deepEqual(tables.labelSets.labels(labels(2)), [trace]);
});
