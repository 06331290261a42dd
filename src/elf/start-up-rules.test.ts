import assert from 'node:assert/strict';
import { openSync } from 'node:fs';
import test from 'node:test';
import { textOffset } from '../units/units.ts';
import { Rule, ruleKind, ruleOffset } from '../unwind/rule.ts';
import { FileSource } from './file-source.ts';
import { ElfImage } from './image.ts';
import { StartUpRules } from './start-up-rules.ts';

const open = (path: string) => ElfImage.parse(new FileSource(openSync(path, 'r')));

test('rules of _init: 8 bytes at its first and last instruction, 16 between, none around it', () => {
  const image = open('/usr/lib/x86_64-linux-gnu/libz.so.1');
  const rules = StartUpRules.of(image);
  assert.ok(rules);
  const init = image.section('.init')!;
  const start = init.address - image.textBase;
  const rows: [number, number, number][] = [];
  rules.rows(textOffset(start), textOffset(start + init.size + 1), (at, rule) =>
    rows.push([at - start, ruleKind(rule), ruleOffset(rule)]),
  );
  const entry = rows[1]![0];
  assert.ok(entry === 4 || entry === 8);
  assert.deepEqual(rows, [
    [0, Rule.Rsp, 8],
    [entry, Rule.Rsp, 16],
    [init.size - 1, Rule.Rsp, 8],
    [init.size, Rule.None, 0],
  ]);
});

test('a range that begins inside says what holds there', () => {
  const image = open('/usr/lib/x86_64-linux-gnu/libz.so.1');
  const init = image.section('.init')!;
  const middle = init.address - image.textBase + 9;
  const rows: [number, number][] = [];
  StartUpRules.of(image)!.rows(textOffset(middle), textOffset(middle + 1), (at, rule) =>
    rows.push([at, ruleOffset(rule)]),
  );
  assert.deepEqual(rows, [[middle, 16]]);
});
