import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';

/** Fills the heap with blocks, frees all but some in between, then asks for the rest. */
const PROGRAM = `
const { readFileSync } = require('node:fs');
const addon = require('./build/flametap.node');
const anonymous = () => Number(/RssAnon:\\s+(\\d+)/.exec(readFileSync('/proc/self/status', 'latin1'))[1]);
const kept = (() => {
  const blocks = Array.from({ length: 1500 }, () => new Uint8Array(32 << 10).fill(1));
  return blocks.filter((_, i) => i % 100 === 99);
})();
setTimeout(() => {
  gc();
  setTimeout(() => {
    const before = anonymous();
    addon.releaseMemory();
    console.log(before - anonymous(), kept.length);
  }, 500);
}, 10);
`;

test('Memory that was freed in the middle of a heap goes back to the system', () => {
  const printed = execFileSync(process.execPath, ['--expose-gc', '-e', PROGRAM], {
    encoding: 'utf8',
    env: { ...process.env, MALLOC_ARENA_MAX: '1' },
  });
  const [released] = printed.split(' ').map(Number);
  assert.ok(released! > 20_000, `${released} KiB of 47 MiB`);
});
