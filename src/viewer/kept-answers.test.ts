import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { History } from './history.ts';
import type { PackedAnswer } from './history-messages.ts';
import { KeptAnswers } from './kept-answers.ts';

const MIB = 2 ** 20;

/** A history whose answers come when the test says so. */
class SlowHistory implements History {
  version = 1;
  readonly asked: string[] = [];
  readonly #waiting = new Map<string, PromiseWithResolvers<PackedAnswer>>();

  ask(address: string): Promise<PackedAnswer> {
    this.asked.push(address);
    const answer = Promise.withResolvers<PackedAnswer>();
    this.#waiting.set(address, answer);
    return answer.promise;
  }

  answer(address: string, bytes = 1): void {
    this.#waiting.get(address)!.resolve({
      status: 200,
      type: '',
      headers: {},
      body: new Uint8Array(bytes),
      isPacked: false,
    });
  }

  fail(address: string): void {
    this.#waiting.get(address)!.reject(new Error('no'));
  }
}

test('an answer is made once for all who ask at one version, and anew at the next', async () => {
  const history = new SlowHistory();
  const kept = new KeptAnswers(history);
  const all = Array.from({ length: 64 }, () => kept.hold('/a'));
  history.answer('/a');
  const bodies = new Set((await Promise.all(all)).map((held) => held!.answer.body));
  assert.equal(bodies.size, 1, 'the same bytes for all');
  await kept.hold('/a');
  assert.deepEqual(history.asked, ['/a']);
  history.version++;
  void kept.hold('/a');
  assert.deepEqual(history.asked, ['/a', '/a']);
});

test('more questions than are made at a time are turned away, until one is done', async () => {
  const history = new SlowHistory();
  const kept = new KeptAnswers(history);
  const first = ['/1', '/2', '/3', '/4'].map((address) => kept.hold(address));
  assert.equal(await kept.hold('/5'), undefined);
  history.answer('/1');
  await first[0];
  const fifth = kept.hold('/5');
  history.answer('/5');
  assert.notEqual(await fifth, undefined);
});

test('bodies that slow clients hold are bounded, and none is made beyond', async () => {
  const history = new SlowHistory();
  const kept = new KeptAnswers(history);
  const hold = async (address: string, bytes: number) => {
    const held = kept.hold(address);
    if (history.asked.includes(address)) history.answer(address, bytes);
    return held;
  };
  const slow = [await hold('/1', 40 * MIB), await hold('/2', 40 * MIB)];
  assert.equal(await hold('/3', 1), undefined);
  assert.equal((await hold('/1', 0))!.answer.body.length, 40 * MIB, 'one that is there is shared');
  slow[1]!.release();
  assert.notEqual(await hold('/3', 1), undefined);
});

test('what nobody reads is kept within its limit, what failed is asked again', async () => {
  const history = new SlowHistory();
  const kept = new KeptAnswers(history);
  for (const address of ['/1', '/2', '/3']) {
    const held = kept.hold(address);
    history.answer(address, 3 * MIB);
    (await held)!.release();
  }
  void kept.hold('/3');
  void kept.hold('/1');
  assert.deepEqual(history.asked, ['/1', '/2', '/3', '/1']);
  const failing = kept.hold('/4');
  history.fail('/4');
  await assert.rejects(failing, /no/);
  void kept.hold('/4');
  assert.deepEqual(history.asked.slice(4), ['/4', '/4']);
});
