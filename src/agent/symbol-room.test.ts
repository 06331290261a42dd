import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SymbolRoom } from './symbol-room.ts';

const user = { name: 'user 65534', isUser: true };
const root = { name: 'device 1', isUser: false };

function rooms() {
  const dropped: string[] = [];
  const room = new SymbolRoom({ ofUser: 10, ofAll: 20 });
  const holder = (name: string) => ({ dropSymbols: () => void dropped.push(name) });
  return { dropped, room, holder };
}

// 40 programs of 25 MB, one after the other, made the agent 300 MiB larger.
test('files of a user that are run once go before those of others', () => {
  const { dropped, room, holder } = rooms();
  const daemon = holder('daemon');
  room.used(daemon, root, 8);
  for (let i = 0; i < 5; i++) room.used(holder(`copy ${i}`), user, 4);
  assert.deepEqual(dropped, ['copy 0', 'copy 1', 'copy 2']);
});

test('of all the least recently asked goes first, and the latest stays however large it is', () => {
  const { dropped, room, holder } = rooms();
  const [a, b, c] = [holder('a'), holder('b'), holder('c')];
  room.used(a, root, 8);
  room.used(b, root, 8);
  room.used(a, root, 8);
  room.used(c, root, 8);
  assert.deepEqual(dropped, ['b']);
  room.released(a);
  room.used(holder('huge'), user, 30);
  assert.deepEqual(dropped, ['b', 'c']);
});
