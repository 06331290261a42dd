import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { forEachInstruction, instructionLength } from './go-instructions.ts';
import { buildGoSelf, openGo, temporaryDirectory } from './go-testing.ts';

test('instruction lengths of a whole Go program are those of objdump', () => {
  const path = buildGoSelf(temporaryDirectory());
  const { functions } = openGo(path);
  const { table, memory, textStart } = functions.module;
  const listing = execFileSync('objdump', ['-d', '--no-show-raw-insn', '-j', '.text', path], {
    encoding: 'utf8',
    maxBuffer: 1 << 30,
  });
  const starts = new Set<number>();
  for (const match of listing.matchAll(/^ +([0-9a-f]+):/gm)) {
    starts.add(Number.parseInt(match[1]!, 16));
  }
  let count = 0;
  for (let index = 0; index < table.functionCount; index++) {
    const record = table.record(index);
    const address = textStart + record.entry;
    const code = memory.bytes(address, record.end - record.entry)!.slice();
    const complete = forEachInstruction(code, (start) => {
      count++;
      assert.ok(starts.has(address + start), `${table.name(record)}+${start}`);
    });
    assert.ok(complete, table.name(record));
  }
  assert.ok(count > 100_000);
});

test('bytes that are no instruction stop the decoder', () => {
  assert.equal(instructionLength(Uint8Array.of(0x06), 0), 0);
  assert.ok(!forEachInstruction(Uint8Array.of(0xe8, 1, 2), () => {}));
  for (let first = 0; first < 256; first++) {
    const length = instructionLength(Uint8Array.of(first), 0);
    assert.ok(length >= 0 && length < 32);
  }
});
