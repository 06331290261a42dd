import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ThreadPriority } from './thread-priority.ts';

test('who is at work for long is not in a hurry; who sleeps again is', () => {
  let [now, cpu] = [0, 0];
  const set: number[] = [];
  const priority = new ThreadPriority({
    clock: () => now,
    cpu: () => cpu,
    setNice: (nice) => set.push(nice),
  });
  const work = (share: number): void => {
    for (let i = 0; i < 30; i++) {
      now += 100;
      cpu += 100 * share;
      priority.worked();
    }
  };
  work(0.1);
  assert.deepEqual(set, [-10]);
  work(1);
  assert.deepEqual(set, [-10, 0]);
  work(0.5);
  assert.deepEqual(set, [-10, 0]);
  work(0.01);
  assert.deepEqual(set, [-10, 0, -10]);
});

test('without the right to it nothing happens', () => {
  const setNice = () => {
    throw new Error('EACCES');
  };
  const priority = new ThreadPriority({ clock: () => 0, cpu: () => 0, setNice });
  priority.worked();
});
