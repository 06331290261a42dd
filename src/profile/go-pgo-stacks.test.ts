import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { openGo } from '../elf/go-testing.ts';
import { virtualAddress } from '../units/units.ts';
import { isWrapper } from './go-pgo-stacks.ts';

// The table of a large program marks functions by a number; a release has one for all wrappers.
test('wrappers are told by name and file as the compiler marks them', () => {
  const tools = execFileSync('go', ['env', 'GOTOOLDIR'], { encoding: 'utf8' }).trim();
  const { functions } = openGo(join(tools, 'compile'));
  const { table } = functions.module;
  const told = { wrappers: [] as number[], others: [] as number[] };
  for (let index = 0; index < table.functionCount; index++) {
    const record = table.record(index);
    const entry = functions.text.start + record.entry - table.entry(0);
    // The function itself is the last of the calls at its entry.
    const line = functions.lookup(virtualAddress(entry))?.at(-1);
    const systemName = table.name(record);
    if (line === undefined || line.systemName !== systemName) continue;
    (isWrapper({ systemName, file: line.file }) ? told.wrappers : told.others).push(record.kind);
  }
  const counts = new Map<number, number>();
  for (const kind of told.wrappers) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  const [mark, marked] = [...counts].sort((a, b) => b[1] - a[1])[0]!;
  assert.ok(mark !== 0 && marked > 500, `${marked} of kind ${mark}`);
  // Promoted methods that end in a jump to the method are not marked: they are on no stack.
  assert.ok(told.wrappers.length - marked < 0.1 * marked, `${[...counts].join(' ')}`);
  const missed = told.others.filter((kind) => kind === mark).length;
  assert.ok(missed <= 0.01 * marked, `${missed} of ${marked} wrappers missed`);
});
