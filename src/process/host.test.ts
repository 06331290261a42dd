import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  copyFileSync,
  fstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { loadAddon } from '../capture/addon.ts';
import { type HostPid, hostPid } from '../units/units.ts';
import { LiveHost } from './host.ts';
import { parseMaps } from './maps.ts';
import { parseClockOffsets } from './time-namespace.ts';

const host = new LiveHost(loadAddon());
let folder = '';
/** Waits for ever; linked statically, so that it runs in an empty root. */
let program = '';
const children: ChildProcess[] = [];

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'flametap-host-'));
  program = join(folder, 'sleeper');
  writeFileSync(`${program}.c`, '#include <unistd.h>\nint main(void) { for (;;) pause(); }');
  execFileSync('cc', ['-static', '-o', program, `${program}.c`]);
});

after(() => rmSync(folder, { recursive: true }));

afterEach(() => {
  for (const child of children.splice(0)) {
    if (child.pid) process.kill(-child.pid, 'SIGKILL');
  }
});

/** Pid of the sleeper that a command ends up in. */
async function start(command: string, ...args: string[]): Promise<HostPid> {
  const child = spawn(command, args, { detached: true, stdio: ['ignore', 'ignore', 'inherit'] });
  children.push(child);
  for (let i = 0; i < 500; i++) {
    for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
      try {
        const group = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ').at(-1)!.split(' ')[2];
        const line = readFileSync(`/proc/${pid}/cmdline`, 'latin1');
        if (Number(group) === child.pid && /^[^\0]+\0sleep-for-ever\0$/.test(line)) {
          return hostPid(Number(pid));
        }
      } catch {
        // Ended between the two looks.
      }
    }
    await sleep(10);
  }
  throw new Error(`${command} did not start`);
}

/** Runs a shell script that ends in the sleeper, in new namespaces. */
const unshared = (flags: string, script: string): Promise<HostPid> =>
  start('unshare', flags, 'sh', '-c', script);

function contentOf(fd: number): Buffer {
  try {
    const bytes = Buffer.alloc(fstatSync(fd).size);
    assert.equal(readSync(fd, bytes, 0, bytes.length, 0), bytes.length);
    return bytes;
  } finally {
    host.files.close(fd);
  }
}

test('start time: of the process, whatever it is called', async () => {
  const odd = join(folder, 'a) R 1 (2');
  copyFileSync(program, odd);
  execFileSync('chmod', ['+x', odd]);
  const earliest = Number(process.hrtime.bigint()) - 20_000_000;
  const pid = await start(odd, 'sleep-for-ever');
  const latest = Number(process.hrtime.bigint());
  const started = host.startTime(pid)!;
  // Boot time and monotonic time differ by the time that the machine slept.
  const uptime = Number(readFileSync('/proc/uptime', 'latin1').split(' ')[0]) * 1e9;
  const slept = uptime - Number(process.hrtime.bigint());
  assert.ok(started >= earliest + slept - 2e7 && started <= latest + slept + 2e7, `${started}`);
  assert.equal(started % 10_000_000n, 0n);
});

test('the start of a process is the same from within a time namespace', () => {
  const script = `
    import { loadAddon } from ${JSON.stringify(import.meta.resolve('../capture/addon.ts'))};
    import { LiveHost } from ${JSON.stringify(import.meta.resolve('./host.ts'))};
    console.log(String(new LiveHost(loadAddon()).startTime(${process.pid})));`;
  const within = execFileSync(
    'unshare',
    ['--time', '--fork', '--boottime', '86400', '--monotonic', '4000', process.execPath].concat([
      '--input-type=module',
      '--eval',
      script,
    ]),
    { encoding: 'utf8' },
  );
  assert.equal(BigInt(within), host.startTime(hostPid(process.pid)));
});

test('offsets of clocks are read as the kernel writes them', () => {
  assert.deepEqual(
    parseClockOffsets('monotonic         -5 200000000\nboottime     9000000         1\n'),
    {
      monotonic: -4_800_000_000n,
      boot: 9_000_000_000_000_001n,
    },
  );
  assert.deepEqual(parseClockOffsets('something else'), { monotonic: 0n, boot: 0n });
});

test('a process that is gone: no start time, and errors that say so', () => {
  const nobody = hostPid(2 ** 22 + 1);
  assert.equal(host.startTime(nobody), undefined);
  assert.throws(() => host.readMaps(nobody), { code: 'ENOENT' });
  assert.throws(() => host.readMemory(nobody, 4096, 8), { code: 'ENOENT' });
  assert.throws(() => host.openInRoot(nobody, '/bin/sh'), { code: 'ENOENT' });
  assert.equal(host.innermostPid(nobody), nobody);
});

test('memory is read as far as asked for and as it is there', () => {
  const own = hostPid(process.pid);
  const [text] = parseMaps(host.readMaps(own)).mappings;
  assert.equal(host.readMemory(own, text!.start, 100).length, 100);
  assert.equal(host.readMemory(own, 0, 8).length, 0);
});

// Nobody has to bring a page for us: whoever had to could let us wait for ever.
test('pages that are not there are not asked for', async () => {
  const source = join(folder, 'absent.c');
  const absent = join(folder, 'absent');
  writeFileSync(
    source,
    `#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>
int main(void) {
  char *page = mmap(0, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  page[0] = page[4096] = 7;
  printf("%lx\\n", (unsigned long)page);
  fflush(stdout);
  return (int)read(0, page, 1);
}`,
  );
  execFileSync('gcc', ['-o', absent, source]);
  const child = spawn(absent, { stdio: ['pipe', 'pipe', 'inherit'] });
  try {
    const [line] = (await once(child.stdout, 'data')) as [Buffer];
    const start = Number.parseInt(line.toString(), 16);
    const pid = hostPid(child.pid!);
    assert.deepEqual([...host.readMemory(pid, start, 1)], [7]);
    assert.equal(host.readMemory(pid, start + 4000, 3 * 4096 - 4000).length, 2 * 4096 - 4000);
    assert.equal(host.readMemory(pid, start + 2 * 4096, 8).length, 0);
  } finally {
    child.kill();
  }
});

test('a pid namespace: the innermost pid is the process’s own', async () => {
  const pid = await unshared('-pf', `exec ${program} sleep-for-ever`);
  assert.equal(host.innermostPid(pid), 1);
  assert.equal(host.innermostPid(hostPid(process.pid)), process.pid);
});

test('a mount namespace: its files are opened, also where ours has others of that name', async () => {
  const mount = join(folder, 'mount');
  mkdirSync(mount);
  copyFileSync('/bin/true', join(mount, 'sleeper'));
  const script = `mount -t tmpfs t ${mount} && cp ${program} ${mount}/ && exec ${mount}/sleeper sleep-for-ever`;
  const pid = await unshared('-m', script);
  const expected = readFileSync(program);
  const mapping = parseMaps(host.readMaps(pid)).mappings.find(({ path }) =>
    path.startsWith(mount),
  )!;
  assert.deepEqual(contentOf(host.openMapped(pid, mapping)), expected);
  // By name, where map_files is out of reach: a range that it does not have.
  const shifted = { ...mapping, end: mapping.start };
  assert.deepEqual(contentOf(host.openMapped(pid, shifted)), expected);
  assert.deepEqual(contentOf(host.openInRoot(pid, mapping.path)), expected);
});

test('another root: links lead nowhere but into it', async () => {
  const root = join(folder, 'root');
  mkdirSync(join(root, 'etc'), { recursive: true });
  copyFileSync(program, join(root, 'sleeper'));
  execFileSync('chmod', ['+x', join(root, 'sleeper')]);
  writeFileSync(join(root, 'etc/hostname'), 'inside');
  symlinkSync('/etc/hostname', join(root, 'absolute'));
  symlinkSync('../../../../../../etc/hostname', join(root, 'upwards'));
  symlinkSync('/etc/passwd', join(root, 'escape'));
  symlinkSync('loop', join(root, 'loop'));
  const pid = await start('chroot', root, '/sleeper', 'sleep-for-ever');
  for (const path of ['/etc/hostname', '/absolute', '/upwards', '/../../etc/hostname']) {
    assert.equal(contentOf(host.openInRoot(pid, path)).toString(), 'inside', path);
  }
  assert.throws(() => host.openInRoot(pid, '/escape'), { code: 'ENOENT' });
  assert.throws(() => host.openInRoot(pid, '/loop'), { code: 'ELOOP' });
});

test('what is no regular file is not even opened', () => {
  const fifo = join(folder, 'fifo');
  execFileSync('mkfifo', [fifo]);
  const descriptors = () => readdirSync('/proc/self/fd').length;
  const before = descriptors();
  for (const path of [fifo, '/dev/null', '/dev/tty', folder]) {
    assert.throws(() => host.openInRoot(hostPid(process.pid), path), { code: 'EINVAL' }, path);
  }
  assert.equal(descriptors(), before);
});

test('what a helper thread takes for a call is known', () => {
  const own = new LiveHost(loadAddon());
  assert.equal(own.files.cpuTime, 0);
  own.readAllMaps(hostPid(process.pid));
  const first = own.files.cpuTime;
  assert.ok(first > 0, `${first} ns`);
  own.readAllMaps(hostPid(process.pid));
  assert.ok(own.files.cpuTime > first);
});
