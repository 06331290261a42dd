import assert from 'node:assert/strict';
import { test } from 'node:test';
import { framesOf, moduleText, processText } from './frame.ts';
import type { Mapping } from './model.ts';

const mapping = (file: string): Mapping => ({
  start: 0,
  end: 0,
  fileOffset: 0,
  file,
  buildId: '',
  goBuildId: '',
});

test('frames without a name are called by module and address', () => {
  const mappings = ['', '/usr/lib/libc.so.6', '[anon]', '[kernel]', '/a/b.so (deleted)'].map(
    mapping,
  );
  const text = (index: number, type: 'native' | 'kernel') =>
    framesOf(
      { mappings, functions: [], locations: [] },
      { mapping: index, address: 0x1a2b, type, lines: [] },
    ).map((frame) => frame.name);
  assert.deepEqual(text(0, 'native'), ['0x1a2b']);
  assert.deepEqual(text(1, 'native'), ['libc.so.6+0x1a2b']);
  assert.deepEqual(text(2, 'native'), ['[anon]+0x1a2b']);
  assert.deepEqual(text(3, 'kernel'), ['[kernel]']);
  assert.deepEqual(text(4, 'native'), ['b.so (deleted)+0x1a2b']);
});

test('inlined calls come first and say so; an empty name is shown like none', () => {
  const functions = ['in', '', 'out'].map((name) => ({
    name,
    shortName: '',
    systemName: '',
    file: 'x.c',
    startLine: 4,
    unnamed: false,
  }));
  const frames = framesOf(
    { mappings: [mapping(''), mapping('/bin/x')], functions, locations: [] },
    {
      mapping: 1,
      address: 16,
      type: 'rust',
      lines: [0, 1, 2].map((index) => ({ function: index, line: index + 5, column: 0 })),
    },
  );
  assert.deepEqual(
    frames.map((frame) => [frame.name, frame.line, frame.inlined, frame.type]),
    [
      ['in', 5, true, 'rust'],
      ['x+0x10', 6, true, 'rust'],
      ['out', 7, false, 'rust'],
    ],
  );
});

test('module and process texts are never empty where something is known', () => {
  assert.equal(moduleText('[vdso]'), '[vdso]');
  assert.equal(moduleText('/usr/bin/'), 'bin');
  assert.equal(processText({ name: 'x', executable: '/bin/y', pid: 1 }), 'x');
  assert.equal(processText({ name: '', executable: '/bin/y', pid: 1 }), 'y');
  assert.equal(processText({ name: '', executable: '', pid: 12 }), '[pid 12]');
});
