// SPDX-License-Identifier: Apache-2.0
// The ordinary load in JavaScript: serve -> alpha, beta or gamma, which take 3, 2 and 1 parts of
// the time. Run with --perf-basic-prof, which writes their names into a perf map. usage: SECONDS
import { rmSync } from 'node:fs';

function alpha(x: number, rounds: number): number {
  for (let i = 0; i < rounds; i++) x = (Math.imul(x, 1664525) + i) | 0;
  return x + 1;
}

function beta(x: number, rounds: number): number {
  for (let i = 0; i < rounds; i++) x = (Math.imul(x, 1664525) + i) | 0;
  return x + 2;
}

function gamma(x: number, rounds: number): number {
  for (let i = 0; i < rounds; i++) x = (Math.imul(x, 1664525) + i) | 0;
  return x + 3;
}

function serve(which: number, x: number): number {
  const part = 500_000;
  if (which === 0) return alpha(x, 3 * part);
  return which === 1 ? beta(x, 2 * part) : gamma(x, part);
}

process.on('exit', () => rmSync(`/tmp/perf-${process.pid}.map`, { force: true }));
process.on('SIGTERM', () => process.exit(0));
const end = Date.now() + Number(process.argv[2] ?? 20) * 1000;
let sum = 1;
let request = 0;
function work(): void {
  const until = Date.now() + 100;
  while (Date.now() < until) sum ^= serve(request++ % 3, sum);
  if (Date.now() < end) setImmediate(work);
}
work();
