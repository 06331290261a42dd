import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hostPid } from '../units/units.ts';
import { fileOwner } from './file-shares.ts';
import type { RawMapping } from './maps.ts';
import type { MappingList, Process } from './process.ts';
import { ProcessOwners } from './process-owners.ts';

/** Maps a file of that device. */
function processOf(pid: number, device: number): Process {
  const mappings = [{ what: 'file', raw: { device } }] as unknown as MappingList;
  return { identity: { pid: hostPid(pid) }, mappings } as Process;
}

test('users are told apart by their ids, the containers of root by what they run from', () => {
  const owners = new ProcessOwners({ userIds: (pid) => [pid < 100 ? 0 : pid] });
  assert.deepEqual(owners.of(processOf(1000, 7)), { name: 'user 1000', isUser: true });
  assert.deepEqual(owners.of(processOf(1, 7)), { name: 'device 7', isUser: false });
  assert.deepEqual(owners.of(processOf(2, 8)), { name: 'device 8', isUser: false });
});

test('who has ended before anybody asked is his parent’s owner’s, or nobody’s, never root’s', () => {
  let asked = 0;
  const owners = new ProcessOwners({ userIds: () => void asked++ });
  const [child, orphan] = [processOf(1000, 7), processOf(1001, 7)];
  const user = { name: 'user 1000', isUser: true };
  owners.presume(child, user);
  assert.equal(owners.of(child), user);
  assert.deepEqual(owners.of(orphan), { name: 'user unknown', isUser: true });
  owners.of(orphan);
  assert.equal(asked, 2, 'each once');
  assert.equal(fileOwner(undefined, { device: 7 } as RawMapping), 'user unknown');
});
