import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildFlameTree, type FlameTree } from '../profile/flame-tree.ts';
import type { Profile } from '../profile/model.ts';
import { exampleProfile } from './example-profile.test-support.ts';
import { ProfileStore } from './store.ts';

const START = 1_790_000_000_000;

/** Profiles of ten seconds, one after the other. */
const profileAt = (place: number, seed = place, samples = 300): Profile =>
  exampleProfile({ seed, samples, seconds: 10, startMs: START + place * 10_000 });

const storeWith = (
  profiles: number,
  options: Partial<{ maxBytes: number; retentionMs: number }> = {},
) => {
  let now = START;
  const store = new ProfileStore({
    maxBytes: 1e9,
    retentionMs: 3_600_000,
    monotonic: () => now - START,
    ...options,
  });
  for (let place = 0; place < profiles; place++) {
    now = START + (place + 1) * 10_000;
    store.add(profileAt(place));
  }
  return { store, wait: (ms: number) => (now += ms) };
};

test('one profile comes out as the tree it was', () => {
  const { store } = storeWith(1);
  const direct = buildFlameTree(profileAt(0));
  const named = ({ frames, nodes }: FlameTree) => ({
    ...nodes,
    frame: nodes.frame.map((frame) => frames[frame]),
  });
  const kept = store.flame();
  assert.deepEqual(named(kept), named(direct));
  assert.deepEqual(kept.tally, direct.tally);
});

test('a window adds up what lies in it, and samples and tally agree', () => {
  const { store } = storeWith(6);
  const totals = [0, 1, 2, 3, 4, 5].map((place) => buildFlameTree(profileAt(place)).total);
  const sum = (from: number) => totals.slice(from).reduce((all, one) => all + one, 0);
  assert.equal(store.flame({ seconds: 10 }).total, sum(5));
  assert.equal(store.flame({ seconds: 30 }).total, sum(3));
  assert.equal(store.flame().total, sum(0));
  assert.equal(store.tally({ seconds: 30 }).exported, sum(3));
  assert.equal(store.tally().lost.ring_full, 42);
  assert.equal(store.flame().durationNs, 60e9);
});

test('processes and the kernel can be left out, and shares add up', () => {
  const { store } = storeWith(3);
  const shares = store.processes();
  assert.equal(
    shares.reduce((all, share) => all + share.samples, 0),
    store.flame().total,
  );
  const first = shares[0]!;
  const only = store.flame({ processes: [first.name] });
  assert.equal(only.total, first.samples);
  const userOnly = store.flame({ kernel: false });
  assert.equal(userOnly.total, store.flame().total);
  assert.ok(!userOnly.frames.some((frame) => frame.type === 'kernel'));
  assert.equal(store.flame({ processes: ['no such'] }).total, 0);
});

test('profiles older than the retention go, also when none arrive', () => {
  const { store, wait } = storeWith(10, { retentionMs: 35_000 });
  assert.equal(store.profiles, 4);
  const version = store.version;
  wait(3_600_000);
  store.expire();
  assert.equal(store.profiles, 0);
  assert.ok(store.version > version);
  assert.equal(store.flame().total, 0);
  assert.equal(store.flame().nodes.frame.length, 1);
});

test('setting the clock makes no profile old, and none is in the last seconds that is not', () => {
  let monotonic = 0;
  const store = new ProfileStore({
    maxBytes: 1e9,
    retentionMs: 3_600_000,
    monotonic: () => monotonic,
  });
  // Forward by a day, back by two: ten seconds each in truth.
  const totals = [0, 8_640, 8_641, -8_640, -8_639].map((place) => {
    monotonic += 10_000;
    store.add(profileAt(place));
    return buildFlameTree(profileAt(place)).total;
  });
  assert.equal(store.profiles, 5);
  assert.equal(store.flame({ seconds: 60 }).total, totals[3]! + totals[4]!);
  monotonic += 3_600_000 - 25_000;
  store.expire();
  assert.equal(store.profiles, 3, 'the oldest two came more than an hour ago');
});

test('the byte limit holds after every profile, and the newest stays', () => {
  const maxBytes = 600_000;
  const store = new ProfileStore({ maxBytes, retentionMs: 3_600_000_000, now: () => START });
  for (let place = 0; place < 60; place++) {
    store.add(profileAt(place, place, 400));
    assert.ok(store.bytes <= maxBytes, `${store.bytes} after ${place}`);
    assert.ok(store.profiles > 0);
    assert.equal(
      store.flame({ seconds: 10 }).total,
      buildFlameTree(profileAt(place, place, 400)).total,
    );
  }
  assert.ok(store.profiles < 60);
});

test('a profile that alone is too large leaves an empty store, not a broken one', () => {
  const store = new ProfileStore({ maxBytes: 1_000, retentionMs: 1e9, now: () => START });
  store.add(profileAt(0));
  assert.equal(store.profiles, 0);
  assert.equal(store.flame().total, 0);
});

test('repeated stacks cost only their counts', () => {
  const store = new ProfileStore({ maxBytes: 1e9, retentionMs: 1e12, now: () => START });
  store.add(profileAt(0, 1));
  const once = store.bytes;
  for (let place = 1; place < 20; place++) store.add(profileAt(place, 1));
  assert.ok(store.bytes < once * 4, `${once} → ${store.bytes}`);
});

test('other limits apply at once to what is kept', () => {
  const { store } = storeWith(6);
  store.limit({ maxBytes: 1e9, retentionMs: 25_000 });
  const { taken } = store.tally();
  assert.equal(taken, storeWith(6, { retentionMs: 25_000 }).store.tally().taken);
  assert.ok(taken < storeWith(6).store.tally().taken);
});
