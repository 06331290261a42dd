import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import { Connections, MOST_BUSY, MOST_CONNECTIONS } from './connections.ts';

class FakeSocket extends EventEmitter {
  destroyed = false;

  destroy(): void {
    this.destroyed = true;
    this.emit('close');
  }
}
const socket = () => new FakeSocket() as unknown as Socket;

test('a new connection finds room: the one that is idle for longest goes', () => {
  const connections = new Connections();
  const all = Array.from({ length: MOST_CONNECTIONS }, socket);
  for (const one of all) connections.open(one);
  for (const one of all) connections.use(one);
  // The first is at work, so that the second is the one that does nothing.
  assert.ok(connections.begin(all[0]!));
  const late = socket();
  connections.open(late);
  assert.deepEqual(
    all.map(({ destroyed }) => destroyed).indexOf(true),
    1,
    'the longest idle one gives way',
  );
  assert.equal(late.destroyed, false);
  connections.end(all[0]!);
  for (let i = 0; i < MOST_CONNECTIONS - 2; i++) {
    const one = socket();
    connections.open(one);
    connections.use(one);
  }
  assert.equal(all[0]!.destroyed, false, 'it became idle later than the others');
});

test('a flood that is let in nowhere costs nobody a connection that is in use', () => {
  const connections = new Connections();
  const scraper = socket();
  connections.open(scraper);
  connections.use(scraper);
  const flood = Array.from({ length: 10 * MOST_CONNECTIONS }, socket);
  for (const one of flood) connections.open(one);
  assert.equal(scraper.destroyed, false);
  assert.equal(flood.filter(({ destroyed }) => !destroyed).length, MOST_CONNECTIONS - 1);
  // Those that ask are in the order of their last requests, whatever they ask for.
  const others = Array.from({ length: 2 * MOST_CONNECTIONS }, socket);
  for (const one of others) {
    connections.open(one);
    connections.use(one);
    connections.use(scraper);
  }
  assert.equal(scraper.destroyed, false);
});

test('answers take up so many connections at most, and the rest stay free', () => {
  const connections = new Connections();
  const all = Array.from({ length: MOST_CONNECTIONS }, socket);
  for (const one of all) connections.open(one);
  const begun = all.filter((one) => connections.begin(one));
  assert.equal(begun.length, MOST_BUSY);
  const probe = socket();
  connections.open(probe);
  assert.equal(probe.destroyed, false);
  assert.ok(begun.every(({ destroyed }) => !destroyed));
  begun[0]!.destroy();
  assert.ok(connections.begin(probe), 'one that has gone leaves its place');
});
