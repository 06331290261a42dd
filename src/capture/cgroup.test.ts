import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, rmdirSync } from 'node:fs';
import { describe, it } from 'node:test';
import { cgroupScope, unifiedMounts } from './cgroup.ts';

describe('cgroup scope', () => {
  it('finds the unified hierarchy among other mounts', () => {
    const text = [
      '30 23 0:26 / /sys/fs/cgroup/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu',
      '31 23 0:27 / /sys/fs/cgroup/uni\\040fied rw shared:10 - cgroup2 cgroup2 rw',
      'nonsense',
    ].join('\n');
    assert.deepEqual(unifiedMounts(text), ['/sys/fs/cgroup/uni fied']);
  });

  it('counts the levels below the root', (test) => {
    const [mount] = unifiedMounts(readFileSync('/proc/self/mountinfo', 'utf8'));
    assert.ok(mount, 'no cgroup2 is mounted; mount one: mount -t cgroup2 none /mnt');
    const folder = `${mount}/flametap-test`;
    mkdirSync(`${folder}/inner`, { recursive: true });
    test.after(() => {
      rmdirSync(`${folder}/inner`);
      rmdirSync(folder);
    });
    assert.equal(cgroupScope(folder).level, 1);
    assert.equal(cgroupScope(`${folder}/inner`).level, 2);
    assert.notEqual(cgroupScope(folder).id, cgroupScope(`${folder}/inner`).id);
  });

  it('says where the hierarchy is when the path is elsewhere', () => {
    assert.throws(() => cgroupScope('/proc'), /unified cgroup hierarchy.*it is at|none is mounted/);
    assert.throws(() => cgroupScope('/no/such/cgroup'), /there is no cgroup/);
  });
});
