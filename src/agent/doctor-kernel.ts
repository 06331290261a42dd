/** What the kernel is and has switched on. */
import { type Check, check, missing, ok, warn } from './doctor-check.ts';
import { checkDifferences } from './doctor-differences.ts';
import { kernelAtLeast, type Machine, readNumber } from './doctor-machine.ts';

const BTF = '/sys/kernel/btf/vmlinux';
/** The rate we ask for by default; below it the kernel throttles us from the start. */
const DEFAULT_HZ = 99;

export function checkKernel(machine: Machine): Check[] {
  const bytes = machine.readBytes(BTF);
  const types = bytes && Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  return [
    check('architecture', 'Architecture', architecture(machine)),
    check('kernel', 'Kernel version', version(machine)),
    check('btf', 'Kernel types (BTF)', btf(machine)),
    check('ring-buffer', 'BPF ring buffers', ringBuffer(machine, types)),
    check('lockdown', 'Kernel lockdown', lockdown(machine)),
    ...checkDifferences(machine, types),
    check('sample-rate', 'Sampling rate limit', sampleRate(machine)),
    check('perf-cpu-time', 'Sampling time limit', cpuTime(machine)),
    check('cgroup', 'Cgroup version', cgroup(machine)),
    check('process-contexts', 'Process contexts', processContexts(machine)),
  ];
}

function architecture({ platform, architecture: found }: Machine) {
  return platform === 'linux' && found === 'x64'
    ? ok('Linux on x86-64')
    : missing(`${platform} on ${found}`, 'use a Linux machine with an x86-64 CPU');
}

function version(machine: Machine) {
  const release = machine.read('/proc/sys/kernel/osrelease')?.trim() ?? 'not known';
  return kernelAtLeast(machine, 5, 10)
    ? ok(`${release}, at least 5.10`)
    : missing(`${release}, older than 5.10`, 'boot Linux 5.10 or later');
}

function btf(machine: Machine) {
  return machine.exists(BTF)
    ? ok(BTF)
    : missing(
        `${BTF} is not there`,
        'boot a kernel built with CONFIG_DEBUG_INFO_BTF=y; in a container, mount the host’s /sys',
      );
}

function ringBuffer(machine: Machine, types: Buffer | undefined) {
  if (types === undefined)
    return kernelAtLeast(machine, 5, 8)
      ? ok('since Linux 5.8')
      : missing('needs Linux 5.8', 'boot Linux 5.10 or later');
  return types.includes('BPF_MAP_TYPE_RINGBUF')
    ? ok('known to this kernel')
    : missing('this kernel has none', 'boot Linux 5.10 or later');
}

function lockdown(machine: Machine) {
  const mode = /\[(\w+)\]/.exec(machine.read('/sys/kernel/security/lockdown') ?? '')?.[1];
  if (mode === 'confidentiality')
    return missing(
      'confidentiality: BPF may not read memory',
      'boot with lockdown=integrity, or with Secure Boot off',
    );
  return ok(mode ?? 'none');
}

function sampleRate(machine: Machine) {
  const rate = readNumber(machine, '/proc/sys/kernel/perf_event_max_sample_rate');
  if (rate === undefined)
    return missing(
      'this kernel has no perf events',
      'boot a kernel built with CONFIG_PERF_EVENTS=y; in a container, mount /proc/sys',
    );
  return rate > DEFAULT_HZ
    ? ok(`${rate} per second`)
    : warn(
        `${rate} per second: the kernel refuses to sample more often`,
        'sudo sysctl -w kernel.perf_event_max_sample_rate=100000',
      );
}

function cpuTime(machine: Machine) {
  const percent = readNumber(machine, '/proc/sys/kernel/perf_cpu_time_max_percent');
  // 0 and 100 switch the limit off.
  return percent === undefined || percent === 0 || percent >= 5
    ? ok(percent === undefined ? 'none' : `${percent} %`)
    : warn(
        `${percent} %: the kernel lowers the rate soon`,
        'sudo sysctl -w kernel.perf_cpu_time_max_percent=25',
      );
}

function processContexts(machine: Machine) {
  return machine.exists('/sys/bus/event_source/devices/kprobe/type')
    ? ok('seen as they are published')
    : warn(
        'this kernel has no kprobes: what a program publishes of itself while it runs is found up to a minute late',
        'boot a kernel built with CONFIG_KPROBE_EVENTS=y',
      );
}

function cgroup(machine: Machine) {
  if (machine.exists('/sys/fs/cgroup/cgroup.controllers')) return ok('2');
  if (machine.exists('/sys/fs/cgroup/unified/cgroup.procs'))
    return ok('1 and 2; --cgroup takes folders below /sys/fs/cgroup/unified');
  return warn(
    'no cgroup 2 found: --cgroup will not work',
    'boot with systemd.unified_cgroup_hierarchy=1; in a container, mount /sys/fs/cgroup',
  );
}
