import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MappingList, Process } from '../process/process.ts';
import { ProcessOwners } from '../process/process-owners.ts';
import { type HostPid, hostPid } from '../units/units.ts';
import { AGENT_FILE_BUDGET, FileBudget } from './file-budget.ts';

function budget() {
  const time = { now: 0, cpu: 0 };
  const userIds = (pid: HostPid) => [pid < 1000 ? 0 : pid];
  const clocks = { now: () => time.now, cpu: () => time.cpu };
  const owners = new ProcessOwners({ userIds });
  const files = new FileBudget((one) => owners.of(one), AGENT_FILE_BUDGET, clocks);
  /** Opens a file that takes `ms`, as a user of that number, or as root of a container. */
  const open = (user: number, ms: number, device = 1): boolean => {
    const mappings = [{ what: 'file', raw: { device } }] as unknown as MappingList;
    const process = { identity: { pid: hostPid(user) }, mappings } as Process;
    const isDone = files.spend(process, () => {
      time.cpu += ms;
      return true;
    });
    return isDone ?? false;
  };
  return { files, open, time };
}

test('who meets new files in a loop gets his share, and others theirs', () => {
  const { files, open, time } = budget();
  let [hostile, refused] = [0, 0];
  for (let second = 0; second < 600; second++) {
    for (let i = 0; i < 100; i++) {
      time.now += 10;
      if (open(1000, 5)) hostile += 5;
      else refused++;
    }
    assert.ok(open(1001, 5), 'another user');
    assert.ok(open(1, 5, 7), 'a container');
  }
  const { ownerMs, ownerShare } = AGENT_FILE_BUDGET;
  assert.ok(hostile <= ownerMs + 600_000 * ownerShare + 5, `${hostile} ms`);
  assert.ok(hostile >= 600_000 * ownerShare);
  assert.equal(files.problems.get('file_budget'), refused);
});

test('all together get no more than their share', () => {
  const { open, time } = budget();
  let all = 0;
  for (let i = 0; i < 60_000; i++) {
    time.now += 10;
    if (open(1000 + (i % 200), 5)) all += 5;
  }
  const { allMs, allShare } = AGENT_FILE_BUDGET;
  assert.ok(all <= allMs + 600_000 * allShare + 5, `${all} ms`);
});
