import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KernelCost } from './kernel-cost.ts';

/** A kernel whose programs take `perSample` each and count only while they are told to. */
class Kernel {
  enabled = 0;
  nanoseconds = 0;
  readonly refuses: string | undefined;

  constructor(refuses?: string) {
    this.refuses = refuses;
  }

  enableRunStats(): void {
    if (this.refuses) throw Object.assign(new Error('no'), { code: this.refuses });
    this.enabled++;
  }

  disableRunStats(): void {
    this.enabled--;
  }

  runStats() {
    return [{ nanoseconds: this.nanoseconds / 2 }, { nanoseconds: this.nanoseconds / 2 }];
  }

  sample(count: number, perSample: number): void {
    if (this.enabled > 0) this.nanoseconds += count * perSample;
  }
}

test('one second in a minute is measured, and the rest follows from its samples', () => {
  const kernel = new Kernel();
  const cost = new KernelCost(kernel);
  let samples = 0;
  let enabledTicks = 0;
  let before = 0;
  assert.equal(cost.seconds(0), undefined);
  for (let now = 0; now < 600_000; now += 200) {
    cost.tick(now, samples);
    enabledTicks += kernel.enabled;
    kernel.sample(20, 8_000);
    samples += 20;
    const seconds = cost.seconds(samples) ?? 0;
    assert.ok(seconds >= before, 'a total never falls');
    before = seconds;
  }
  assert.equal(enabledTicks, 10 * 5);
  assert.ok(Math.abs(before - (samples * 8_000) / 1e9) < 1e-6, String(before));
});

test('the cost of a sample follows the load', () => {
  const kernel = new Kernel();
  const cost = new KernelCost(kernel);
  let samples = 0;
  const run = (fromMs: number, toMs: number, perSample: number): number => {
    const before = cost.seconds(samples) ?? 0;
    for (let now = fromMs; now < toMs; now += 200) {
      cost.tick(now, samples);
      kernel.sample(20, perSample);
      samples += 20;
    }
    return cost.seconds(samples)! - before;
  };
  run(0, 120_000, 5_000);
  run(120_000, 600_000, 20_000);
  const hour = run(600_000, 1_200_000, 20_000);
  assert.ok(Math.abs(hour / (60_000 * 20_000e-9) - 1) < 0.01, String(hour));
});

test('without the privilege it is not known, and nobody asks again', () => {
  const cost = new KernelCost(new Kernel('EPERM'));
  for (let now = 0; now < 200_000; now += 200) cost.tick(now, now);
  assert.equal(cost.seconds(200_000), undefined);
  assert.throws(() => new KernelCost(new Kernel('EBADF')).tick(0, 0));
});
