import assert from 'node:assert/strict';
import { test } from 'node:test';
import { diagnose } from './doctor.ts';
import type { Check } from './doctor-check.ts';
import type { Machine } from './doctor-machine.ts';

const ALL_CAPABILITIES = '000001ffffffffff';
const status = (capabilities: string, seccomp = 0) =>
  `Name:\tnode\nCapEff:\t${capabilities}\nSeccomp:\t${seccomp}\n`;

/** A machine on which everything is in order, as files. */
const healthyFiles: Readonly<Record<string, string>> = {
  '/proc/sys/kernel/osrelease': '6.1.0-13-amd64\n',
  '/proc/sys/kernel/perf_event_max_sample_rate': '100000\n',
  '/proc/sys/kernel/perf_cpu_time_max_percent': '25\n',
  '/proc/sys/kernel/perf_event_paranoid': '2\n',
  '/proc/sys/kernel/unprivileged_bpf_disabled': '2\n',
  '/proc/sys/kernel/kptr_restrict': '1\n',
  '/proc/self/status': status(ALL_CAPABILITIES),
  '/proc/self/uid_map': '         0          0 4294967295\n',
  '/proc/self/limits':
    'Max locked memory         8388608              8388608              bytes\n',
  '/proc/kallsyms': 'ffffffff81000000 T _text\nffffffff81000010 t anon_vma_name_alloc\n',
  '/proc/meminfo': 'MemTotal: 8000000 kB\nMemAvailable:    4000000 kB\n',
  '/proc/1/auxv': 'x',
  '/proc/1/comm': 'init\n',
  '/proc/1/cmdline': '/sbin/init\0',
  '/proc/2/comm': 'kthreadd\n',
  '/proc/2/cmdline': '',
  '/sys/bus/event_source/devices/kprobe/type': '6\n',
  '/sys/kernel/btf/vmlinux': 'BTF BPF_MAP_TYPE_RINGBUF BPF_FUNC_task_pt_regs',
  '/sys/kernel/security/lockdown': '[none] integrity confidentiality\n',
  '/sys/fs/cgroup/cgroup.controllers': 'cpu memory\n',
  '/sys/devices/system/cpu/online': '0-3\n',
  '/sys/devices/system/cpu/possible': '0-3\n',
  '/opt/flametap/build/flametap.node': '',
  '/opt/flametap/build/flametap.bpf.o': '',
};

interface Difference {
  /** Files that are other or (undefined) absent. */
  readonly files?: Readonly<Record<string, string | undefined>>;
  readonly links?: Readonly<Record<string, string>>;
  readonly machine?: Partial<Machine>;
}

function machineWith({ files = {}, links = {}, machine = {} }: Difference = {}): Machine {
  const all: Record<string, string | undefined> = { ...healthyFiles, ...files };
  const allLinks: Record<string, string> = {
    '/proc/self': '50',
    '/proc/self/ns/pid': 'pid:[4026531836]',
    ...links,
  };
  const paths = [
    ...Object.keys(all).filter((path) => all[path] !== undefined),
    ...Object.keys(allLinks),
  ];
  return {
    platform: 'linux',
    architecture: 'x64',
    nodeVersion: 'v24.0.0',
    installation: '/opt/flametap',
    read: (path) => all[path],
    readBytes: (path) => (all[path] === undefined ? undefined : Buffer.from(all[path])),
    exists: (path) => paths.includes(path),
    link: (path) => allLinks[path],
    list: (path) => [
      ...new Set(
        paths
          .filter((one) => one.startsWith(`${path}/`))
          .map((one) => one.slice(path.length + 1).split('/')[0] ?? ''),
      ),
    ],
    trySampling: async () => '',
    ...machine,
  };
}

async function notInOrder(difference: Difference): Promise<Check[]> {
  const { checks } = await diagnose(machineWith(difference));
  return checks.filter((one) => one.state !== 'ok');
}

/** Capabilities without these bits. */
const without = (...bits: number[]) => ({
  '/proc/self/status': status(
    bits
      .reduce((all, bit) => all & ~(1n << BigInt(bit)), BigInt(`0x${ALL_CAPABILITIES}`))
      .toString(16),
  ),
});
const SYS_ADMIN = 21;

test('a machine in order has nothing to mend', async () => {
  const { ok, checks } = await diagnose(machineWith());
  assert.deepEqual(
    checks.filter((one) => one.state !== 'ok' || one.fix !== ''),
    [],
  );
  assert.equal(ok, true);
  assert.equal(checks.at(-1)?.id, 'trial');
});

test('ids are unique and every check has words', async () => {
  const { checks } = await diagnose(machineWith());
  assert.equal(new Set(checks.map((one) => one.id)).size, checks.length);
  assert.ok(checks.every((one) => one.title !== '' && one.detail !== ''));
});

const missing: [string, Difference, RegExp][] = [
  ['architecture', { machine: { architecture: 'arm64' } }, /arm64/],
  ['kernel', { files: { '/proc/sys/kernel/osrelease': '5.9.16\n' } }, /5\.9\.16, older than 5\.10/],
  ['kernel', { files: { '/proc/sys/kernel/osrelease': undefined } }, /not known/],
  ['btf', { files: { '/sys/kernel/btf/vmlinux': undefined } }, /vmlinux is not there/],
  ['ring-buffer', { files: { '/sys/kernel/btf/vmlinux': 'BTF without' } }, /has none/],
  [
    'lockdown',
    { files: { '/sys/kernel/security/lockdown': 'none integrity [confidentiality]\n' } },
    /confidentiality/,
  ],
  [
    'sample-rate',
    { files: { '/proc/sys/kernel/perf_event_max_sample_rate': undefined } },
    /no perf events/,
  ],
  ['user-namespace', { files: { '/proc/self/uid_map': '0 1000 1\n' } }, /not the initial one/],
  ['pid-namespace', { links: { '/proc/self/ns/pid': 'pid:[4026532179]' } }, /4026532179/],
  ['pid-namespace', { machine: { link: () => undefined } }, /not known: \/proc is not mounted/],
  ['bpf', { files: without(SYS_ADMIN, 39) }, /CAP_BPF is missing/],
  [
    'perf',
    { files: without(SYS_ADMIN, 38) },
    /CAP_PERFMON is missing and kernel.perf_event_paranoid is 2/,
  ],
  ['node', { machine: { nodeVersion: 'v20.20.2' } }, /v20\.20\.2, older than 24/],
  [
    'build',
    { files: { '/opt/flametap/build/flametap.node': undefined } },
    /flametap\.node not built/,
  ],
  ['trial', { machine: { trySampling: async () => 'perf_event_open: EPERM' } }, /EPERM/],
];
for (const [id, difference, detail] of missing)
  test(`${id} is missing when ${detail.source}: profiling cannot work, and a fix is named`, async () => {
    const found = await notInOrder(difference);
    const [first] = found.filter((one) => one.state === 'missing');
    assert.equal(first?.id, id);
    assert.match(first.detail, detail);
    assert.notEqual(first.fix, '');
    assert.equal((await diagnose(machineWith(difference))).ok, false);
  });

const warnings: [string, Difference, RegExp][] = [
  [
    'sample-rate',
    { files: { '/proc/sys/kernel/perf_event_max_sample_rate': '50\n' } },
    /50 per second/,
  ],
  ['perf-cpu-time', { files: { '/proc/sys/kernel/perf_cpu_time_max_percent': '1\n' } }, /1 %/],
  ['cgroup', { files: { '/sys/fs/cgroup/cgroup.controllers': undefined } }, /no cgroup 2/],
  [
    'process-contexts',
    { files: { '/sys/bus/event_source/devices/kprobe/type': undefined } },
    /no kprobes/,
  ],
  [
    'perf',
    { files: { ...without(SYS_ADMIN), '/proc/sys/kernel/perf_event_paranoid': '3\n' } },
    /is 3: kernels of Debian and Ubuntu then ask for CAP_SYS_ADMIN/,
  ],
  ['seccomp', { files: { '/proc/self/status': status(ALL_CAPABILITIES, 2) } }, /filter is active/],
  [
    'kernel-names',
    {
      files: {
        '/proc/kallsyms': '0000000000000000 T _text\n0000000000000000 t anon_vma_name_alloc\n',
      },
    },
    /addresses are hidden/,
  ],
  [
    'memory-names',
    { files: { '/proc/kallsyms': 'ffffffff81000000 T _text\n' } },
    /gives anonymous memory none/,
  ],
  ['process-maps', { files: without(19) }, /CAP_SYS_PTRACE is missing/],
  [
    'process-maps',
    { files: { '/proc/1/auxv': undefined } },
    /1 of 2 cannot be looked into \(init\)/,
  ],
  ['map-files', { files: without(SYS_ADMIN, 40) }, /CAP_CHECKPOINT_RESTORE is missing/],
  ['read-files', { files: without(2) }, /CAP_DAC_READ_SEARCH is missing/],
  ['memory', { files: { '/proc/meminfo': 'MemAvailable: 100000 kB\n' } }, /only 97 MiB/],
];
for (const [id, difference, detail] of warnings)
  test(`${id} warns when ${detail.source}: profiling works with less`, async () => {
    const found = await notInOrder(difference);
    assert.deepEqual(
      found.map((one) => [one.id, one.state]),
      [[id, 'warn']],
    );
    assert.match(found[0]?.detail ?? '', detail);
    assert.notEqual(found[0]?.fix, '');
    assert.equal((await diagnose(machineWith(difference))).ok, true);
  });

const OLD_KERNEL = { '/proc/sys/kernel/osrelease': '5.10.0-32-amd64\n' };
const limits = (bytes: string) => ({
  '/proc/self/limits': `Max locked memory         ${bytes}              ${bytes}              bytes\n`,
});

test('locked memory matters before Linux 5.11 only, and not to who may raise it', async () => {
  assert.deepEqual(await notInOrder({ files: OLD_KERNEL }), []);
  const limited = { ...OLD_KERNEL, ...without(24) };
  const found = await notInOrder({ files: limited });
  assert.deepEqual(
    found.map(({ id, state }) => [id, state]),
    [['memlock', 'missing']],
  );
  // 12 MiB and 1 MiB for each of four CPUs.
  assert.match(found[0]!.detail, /^limited to 8388608 bytes, .* up to 16 MiB of BPF memory/);
  assert.match(found[0]!.fix, /ulimit -l unlimited .*LimitMEMLOCK=infinity.*CAP_SYS_RESOURCE/);
  for (const enough of ['unlimited', String(16 << 20)])
    assert.deepEqual(await notInOrder({ files: { ...limited, ...limits(enough) } }), []);
  assert.deepEqual(await notInOrder({ files: without(24) }), []);
});

test('user registers are taken otherwise before Linux 5.15, wrongly under KASAN', async () => {
  const old = { '/sys/kernel/btf/vmlinux': 'BTF BPF_MAP_TYPE_RINGBUF' };
  const { checks } = await diagnose(machineWith({ files: old }));
  const registers = checks.find(({ id }) => id === 'user-registers');
  assert.equal(registers?.state, 'ok');
  assert.match(registers.detail, /top of the kernel’s stack, as before Linux 5\.15/);
  const names = `${healthyFiles['/proc/kallsyms']}ffffffff81000020 T __asan_loadN\n`;
  assert.deepEqual(await notInOrder({ files: { '/proc/kallsyms': names } }), []);
  const found = await notInOrder({ files: { ...old, '/proc/kallsyms': names } });
  assert.deepEqual(
    found.map(({ id, state }) => [id, state]),
    [['user-registers', 'warn']],
  );
});

test('CAP_SYS_ADMIN alone stands for the finer capabilities, as in the kernel', async () => {
  const found = await notInOrder({ files: without(38, 39, 40) });
  assert.deepEqual(found, []);
});

test('a kernel whose names cannot be read is asked for none', async () => {
  const found = await notInOrder({ files: { '/proc/kallsyms': undefined } });
  assert.deepEqual(
    found.map(({ id, state }) => [id, state]),
    [
      ['memory-names', 'warn'],
      ['kernel-names', 'warn'],
    ],
  );
  assert.match(found[0]!.detail, /not known/);
  assert.match(found[1]!.detail, /not readable/);
});

test('another profiler is seen by its perf events or its BPF programs, ourselves are not', async () => {
  const fd = (pid: number) => `/proc/${pid}/fd/9`;
  const info = (pid: number) => `/proc/${pid}/fdinfo/9`;
  const found = await notInOrder({
    files: {
      '/proc/60/comm': 'perf\n',
      '/proc/60/auxv': 'x',
      '/proc/70/comm': 'ebpf-profiler\n',
      '/proc/70/auxv': 'x',
      [info(70)]: 'pos:\t0\nprog_type:\t7\n',
      '/proc/80/comm': 'systemd\n',
      '/proc/80/auxv': 'x',
      [info(80)]: 'pos:\t0\nprog_type:\t8\n',
    },
    links: {
      [fd(50)]: 'anon_inode:[perf_event]',
      '/proc/50/auxv': 'x',
      [fd(60)]: 'anon_inode:[perf_event]',
      [fd(70)]: 'anon_inode:bpf-prog',
      [fd(80)]: 'anon_inode:bpf-prog',
    },
  });
  const others = found.find((one) => one.id === 'other-profilers');
  assert.equal(others?.state, 'warn');
  assert.match(others.detail, /perf \(pid 60\), ebpf-profiler \(pid 70\): both work/);
  assert.doesNotMatch(others.detail, /systemd|pid 50/);
});

test('no trial is made on a machine that cannot work', async () => {
  let tried = false;
  const trySampling = async () => {
    tried = true;
    return '';
  };
  await diagnose(machineWith({ machine: { trySampling, architecture: 'arm64' } }));
  assert.equal(tried, false);
});

test('nonsense in files is survived', async () => {
  const nonsense = Object.fromEntries(
    Object.keys(healthyFiles).map((path) => [path, '\0\xff NaN -']),
  );
  const { ok, checks } = await diagnose(machineWith({ files: nonsense }));
  assert.equal(ok, false);
  assert.ok(checks.every((one) => !/NaN|undefined/.test(one.fix)));
});
