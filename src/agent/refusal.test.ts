import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Machine, thisMachine } from './doctor-machine.ts';
import { MachineError } from './machine-error.ts';
import { refusal, refuseOtherPids } from './refusal.ts';

function failure(code: string, message = 'load BPF programs: x\nlibbpf: many lines'): Error {
  return Object.assign(new Error(message), { code });
}

const BTF = '/sys/kernel/btf/vmlinux';
/** A machine of which only the named files differ from one in order. */
function machineWith(
  files: Readonly<Record<string, string>>,
  absent: readonly string[] = [],
  pids: string | undefined = 'pid:[4026531836]',
): Machine {
  const all: Record<string, string> = {
    '/proc/sys/kernel/osrelease': '6.1.0',
    '/proc/sys/kernel/perf_event_max_sample_rate': '100000',
    '/proc/self/status': 'CapEff:\t000001ffffffffff\n',
    '/proc/kallsyms': 'ffffffff81000000 T _text\n',
    '/proc/1/auxv': 'x',
    [BTF]: 'BPF_MAP_TYPE_RINGBUF',
    ...files,
  };
  for (const path of absent) delete all[path];
  return {
    ...thisMachine('/nowhere', async () => ''),
    read: (path) => all[path],
    readBytes: (path) => (all[path] === undefined ? undefined : Buffer.from(all[path])),
    exists: (path) => all[path] !== undefined,
    link: (path) => (path === '/proc/self/ns/pid' ? pids : undefined),
    list: (path) => (path === '/proc' ? ['1'] : []),
  };
}

const LOCKED = { '/sys/kernel/security/lockdown': 'none integrity [confidentiality]\n' };
const named: [string, string, Machine, RegExp, string][] = [
  [
    'lockdown',
    'EINVAL',
    machineWith(LOCKED),
    /^Kernel lockdown: confidentiality.*; boot/,
    'lockdown',
  ],
  ['missing types', 'ESRCH', machineWith({}, [BTF]), /^Kernel types.*not there; boot/, 'btf'],
  [
    'missing capabilities',
    'EPERM',
    machineWith({ '/proc/self/status': 'CapEff:\t0000000000000000\n' }),
    /^BPF: CAP_BPF is missing.*; run sudo/,
    'bpf',
  ],
];
for (const [what, code, machine, words, check] of named) {
  // The kernel's number says nothing of the reason: it takes the doctor's words.
  test(`${what}: ${code} is explained, without the verifier's text`, () => {
    const error = refusal(failure(code), machine);
    assert.ok(error instanceof MachineError);
    assert.match(error.message, words);
    assert.equal(error.check, check);
    assert.doesNotMatch(error.message, /\n/);
  });
}

// Only the kernel knows whether its distribution has taught it the level.
test('a perf event that only CAP_SYS_ADMIN may open is explained by the level', () => {
  const least = { '/proc/self/status': 'CapEff:\t000001ffffdfffff\n' };
  const level = { '/proc/sys/kernel/perf_event_paranoid': '3\n' };
  const words = 'perf_event_open (mappings) on CPU 0: Permission denied';
  const error = refusal(failure('EACCES', words), machineWith({ ...least, ...level }));
  assert.ok(error instanceof MachineError);
  assert.match(error.message, /^Perf events: kernel.perf_event_paranoid is 3: .*; sudo sysctl -w/);
  const other = refusal(failure('EACCES', words), machineWith(least));
  assert.ok(other instanceof MachineError);
  assert.match(other.message, /^no permission: perf_event_open/);
});

// Where the doctor finds nothing, a report needs all that the kernel said.
test('a kernel that refuses for no known reason is quoted in full', () => {
  const error = refusal(failure('EINVAL'), machineWith({}));
  assert.ok(error instanceof MachineError);
  assert.match(error.message, /^this kernel refuses: load.*\nlibbpf: many lines$/);
});

// Our own mistakes keep their stack and end with another exit code.
test('other failures stay what they are', () => {
  const cause = failure('ENOENT');
  assert.equal(refusal(cause, machineWith(LOCKED)), cause);
  const plain = new TypeError('x is undefined');
  assert.equal(refusal(plain, machineWith(LOCKED)), plain);
});

// Memory is not mended by any of the other fixes.
test('too little memory is told as such', () => {
  const error = refusal(failure('ENOMEM'), machineWith(LOCKED));
  assert.ok(error instanceof MachineError);
  assert.match(error.message, /^out of memory: load BPF programs: x$/);
});

// The kernel samples there as anywhere, and every profile would be empty or without a name.
test('another pid namespace is refused before anything is loaded', () => {
  refuseOtherPids(machineWith({}));
  const isRefused = (words: RegExp) => (error: unknown) => {
    assert.ok(error instanceof MachineError);
    assert.match(error.message, words);
    return error.check === 'pid-namespace';
  };
  const container = machineWith({}, [], 'pid:[4026532179]');
  assert.throws(
    () => refuseOtherPids(container),
    isRefused(/^Pid namespace: pid:\[4026532179\], not the initial one: .*--pid=host .*hostPID/),
  );
  // /proc/self leads nowhere when /proc belongs to a namespace below.
  const foreignProc: Machine = { ...machineWith({}), link: () => undefined };
  assert.throws(() => refuseOtherPids(foreignProc), isRefused(/not known: .*; mount -t proc/));
});
