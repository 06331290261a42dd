import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RetriedWork } from './retried-work.ts';

const failing = (code: string | undefined) => () => {
  throw Object.assign(new Error(`failed: ${code}`), { code });
};

test('what passes is counted and told; what is wrong with us is a failure', () => {
  const told: string[] = [];
  const failures: string[] = [];
  const work = new RetriedWork({
    onRetry: (name, { code }) => told.push(`${name} ${code}`),
    onFailure: ({ message }) => failures.push(message),
  });
  for (const code of ['EMFILE', 'ENFILE', 'ENOMEM', 'EAGAIN', 'EINTR', 'ENODEV'])
    work.attempt('follow_cpus', failing(code));
  work.attempt('drain', failing('EMFILE'));
  let done = 0;
  work.attempt('drain', () => done++);
  assert.equal(done, 1);
  assert.deepEqual(work.failures, { follow_cpus: 6, drain: 1 });
  assert.equal(told.length, 7);
  assert.deepEqual(failures, []);
  work.attempt('follow_cpus', failing('EINVAL'), ['EINVAL']);
  assert.deepEqual(work.failures, { follow_cpus: 7, drain: 1 });
  for (const code of ['EBADF', 'EINVAL', undefined]) work.attempt('drain', failing(code));
  assert.equal(failures.length, 3);
  assert.deepEqual(work.failures, { follow_cpus: 7, drain: 1 });
});
