import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

const root = join(import.meta.dirname, '../..');

// A code that was renamed would be looked for in vain.
test('every code that the docs explain is one that the agent counts', () => {
  const source = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'))
    .map((name) => readFileSync(join(root, 'src', name), 'utf8'))
    .join('\n');
  const rows = readFileSync(join(root, 'docs/problems.md'), 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('| `'));
  const codes = rows.flatMap((row) => row.split('|')[1]!.match(/[a-z]+(_[a-z]+)*(?=`)/g) ?? []);
  assert.ok(codes.length > 40, `${codes.length} codes`);
  const parts = (code: string): string[] => [code, code.replace(/^process_environment_/, '')];
  const unknown = codes.filter((code) => !parts(code).some((part) => source.includes(part)));
  assert.deepEqual(unknown, []);
});
