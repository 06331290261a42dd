import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import { Entrance, MOST_FRESH, OPEN_PER_SECOND, type Standing } from './entrance.ts';
import type { Head } from './head.ts';

class FakeSocket extends EventEmitter {
  destroyed = false;
  said = '';
  unread = '';

  destroy(): void {
    if (this.destroyed) return;
    this.destroyed = true;
    this.emit('close');
  }

  pause(): void {}

  resume(): void {}

  unshift(bytes: Buffer): void {
    this.unread = bytes.toString();
  }

  end(text: string, _encoding: string, then: () => void): void {
    this.said = text;
    then();
  }
}

const STANDINGS: Readonly<Record<string, Standing>> = { '/healthz': 'open', '/metrics': 'open' };

/** Whoever asks for /known has the token. */
function entranceAt(now: () => number) {
  const admitted: Socket[] = [];
  const entrance = new Entrance(
    {
      standing: ({ url }: Head) => (url === '/known' ? 'known' : (STANDINGS[url] ?? 'stranger')),
      onRequest: (socket) => admitted.push(socket),
      shortAnswer: ({ url }: Head) => (url === '/healthz' ? 'well' : undefined),
    },
    now,
  );
  const open = (text = ''): FakeSocket => {
    const socket = new FakeSocket();
    entrance.open(socket as unknown as Socket);
    if (text !== '') socket.emit('data', Buffer.from(text));
    return socket;
  };
  return { entrance, admitted, open };
}

const request = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`;

test('a request is passed on when it is whole, wherever its pieces end', () => {
  const { entrance, admitted, open } = entranceAt(() => 0);
  const text = request('/known');
  for (let at = 1; at < text.length; at++) {
    const socket = open(text.slice(0, at));
    assert.equal(admitted.length, at - 1);
    socket.emit('data', Buffer.from(text.slice(at)));
    assert.deepEqual([admitted.length, socket.unread], [at, text]);
  }
  entrance.close();
});

test('heads that are sent slowly wait for others in turn, and their connections end in time', () => {
  let now = 0;
  const { entrance, admitted, open } = entranceAt(() => now);
  const slow = Array.from({ length: MOST_FRESH }, () => open('GET / HT'));
  now = 4_999;
  entrance.sweep();
  assert.equal(slow.filter(({ destroyed }) => destroyed).length, 0);
  open(request('/known'));
  const given = slow.filter(({ destroyed }) => destroyed);
  assert.deepEqual([admitted.length, given.length, given[0]], [1, 1, slow[0]]);
  now = 5_000;
  entrance.sweep();
  assert.ok(slow.every(({ destroyed }) => destroyed));
  const { displaced, unfinished } = entrance.dropped;
  assert.deepEqual({ displaced, unfinished }, { displaced: 1, unfinished: MOST_FRESH - 1 });
  entrance.close();
});

test('of what somebody without the token sends in one piece one request is read', () => {
  const { entrance, open } = entranceAt(() => 0);
  assert.equal(open(request('/api/flame').repeat(20)).unread, request('/api/flame'));
  assert.equal(open(request('/healthz').repeat(20)).unread, request('/healthz'));
  assert.equal(open(request('/known').repeat(20)).unread, request('/known').repeat(20));
  entrance.close();
});

test('in a flood probes get the shortest answer, who has the token passes, and the rest is counted', () => {
  let now = 0;
  const { entrance, admitted, open } = entranceAt(() => now);
  for (let i = 0; i < OPEN_PER_SECOND; i++) open(request('/metrics'));
  assert.equal(admitted.length, OPEN_PER_SECOND);
  assert.ok(open(request('/metrics')).destroyed);
  const probe = open(request('/healthz'));
  assert.deepEqual([probe.said, probe.destroyed], ['well', true]);
  open(request('/known'));
  assert.equal(admitted.length, OPEN_PER_SECOND + 1);
  // Of strangers some are told at once, some later, which a new one may not wait for.
  const strangers = Array.from({ length: 1_000 }, () => open(request('/')));
  const told = admitted.length - OPEN_PER_SECOND - 1;
  const waiting = strangers.filter(({ destroyed }) => !destroyed).length - told;
  assert.deepEqual([told, waiting], [20, 200]);
  assert.equal(entrance.dropped.flood, 1 + 1_000 - told - waiting);
  now = 1_000;
  open(request('/metrics'));
  assert.equal(admitted.length, OPEN_PER_SECOND + 1 + told + 1, 'the next second is another');
  entrance.close();
});

test('a head without end, and one that ends before it is whole, is not kept', () => {
  const { entrance, admitted, open } = entranceAt(() => 0);
  assert.ok(open('a'.repeat(8_193)).destroyed);
  const socket = open('GET / HTTP/1.1\r\n');
  socket.emit('end');
  assert.ok(socket.destroyed);
  assert.equal(admitted.length, 0);
  assert.equal(entrance.dropped.unfinished, 1);
  entrance.close();
});
