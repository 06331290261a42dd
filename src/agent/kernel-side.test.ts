import assert from 'node:assert/strict';
import { test } from 'node:test';
import { patiently } from './kernel-side.ts';
import { MachineError } from './machine-error.ts';

const failure = (code: string): Error => Object.assign(new Error(`load: ${code}`), { code });

test('what signals interrupt is tried again, more often than five times', async () => {
  let attempts = 0;
  const load = () => {
    if (++attempts < 40) throw failure(attempts % 2 ? 'EAGAIN' : 'EINTR');
    return attempts;
  };
  assert.equal(await patiently(load, 60_000, 0), 40);
});

test('other failures are told at once, endless ones with what to do', async () => {
  let attempts = 0;
  const refuse = (code: string) => () => {
    attempts++;
    throw failure(code);
  };
  await assert.rejects(patiently(refuse('EPERM'), 60_000, 0), { code: 'EPERM' });
  assert.equal(attempts, 1);
  await assert.rejects(patiently(refuse('EAGAIN'), 0, 0), (error) => {
    assert.ok(error instanceof MachineError);
    assert.match(error.message, /load: EAGAIN.*end what sends signals/);
    return true;
  });
});
