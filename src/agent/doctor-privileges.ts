/** What this process may do. */
import { cleanName } from '../symbolize/clean-name.ts';
import { type Check, check, missing, ok, warn } from './doctor-check.ts';
import { type Capability, holds, type Machine, readNumber } from './doctor-machine.ts';

/** PROC_PID_INIT_INO of include/linux/proc_ns.h: the initial pid namespace. */
const INITIAL_PID_NAMESPACE = 'pid:[4026531836]';
/** Of kernel.perf_event_paranoid, in Documentation/admin-guide/sysctl/kernel.rst. */
const MOST_PARANOID = 2;
/** Enough to see whether processes are closed to us. */
const MOST_PROCESSES = 500;
const AS_ROOT = 'run sudo flametap …; in a container, add --privileged or --cap-add';

export function checkPrivileges(machine: Machine): Check[] {
  return [
    check('user-namespace', 'User namespace', userNamespace(machine)),
    checkPidNamespace(machine),
    check('bpf', 'BPF', bpf(machine)),
    check('perf', 'Perf events', perf(machine)),
    check('seccomp', 'Seccomp', seccomp(machine)),
    check('kernel-names', 'Kernel function names', kernelNames(machine)),
    check('process-maps', 'Other processes', processMaps(machine)),
    check('map-files', 'Deleted and hidden programs', mapFiles(machine)),
    check('read-files', 'Files of other users', readFiles(machine)),
  ];
}

/** The kernel refuses nothing in another one: it samples, and none of its pids is in /proc. */
export function checkPidNamespace(machine: Machine): Check {
  return check('pid-namespace', 'Pid namespace', pidNamespace(machine));
}

/** CAP_SYS_ADMIN stands for each of the newer, finer ones. */
function may(machine: Machine, capability: Capability): boolean {
  return holds(machine, capability) || holds(machine, 'SYS_ADMIN');
}

function userNamespace(machine: Machine) {
  const map = machine.read('/proc/self/uid_map')?.trim().split(/\s+/).join(' ');
  // BPF and perf ask for capabilities in the initial namespace; it maps every id to itself.
  return map === undefined || map === '0 0 4294967295'
    ? ok('the initial one')
    : missing(
        'not the initial one: root here is not root on the machine',
        'run outside of the user namespace (rootless containers and unshare -U make one)',
      );
}

function pidNamespace(machine: Machine) {
  const found = machine.link('/proc/self/ns/pid');
  if (found === INITIAL_PID_NAMESPACE) return ok('the initial one');
  return found === undefined
    ? missing(
        'not known: /proc is not mounted, or shows the processes of another pid namespace',
        'mount -t proc proc /proc',
      )
    : missing(
        `${found}, not the initial one: /proc does not show the processes that the kernel samples`,
        'run on the host, or with docker run --pid=host (Kubernetes: hostPID: true)',
      );
}

function bpf(machine: Machine) {
  if (may(machine, 'BPF')) return ok('allowed');
  const disabled = readNumber(machine, '/proc/sys/kernel/unprivileged_bpf_disabled') ?? 0;
  return missing(
    `CAP_BPF is missing (kernel.unprivileged_bpf_disabled is ${disabled}; tracing needs the capability in any case)`,
    `${AS_ROOT}=BPF`,
  );
}

function perf(machine: Machine) {
  const level = readNumber(machine, '/proc/sys/kernel/perf_event_paranoid');
  const paranoid = level ?? 'not set';
  // A level that Linux itself does not know. Linux 5.10 and 6.1 of Debian refuse there.
  if (holds(machine, 'PERFMON') && !holds(machine, 'SYS_ADMIN') && (level ?? 0) > MOST_PARANOID)
    return warn(
      `kernel.perf_event_paranoid is ${paranoid}: kernels of Debian and Ubuntu then ask for CAP_SYS_ADMIN, and CAP_PERFMON is not enough`,
      `sudo sysctl -w kernel.perf_event_paranoid=${MOST_PARANOID}, or add CAP_SYS_ADMIN`,
    );
  if (may(machine, 'PERFMON')) return ok(`allowed (kernel.perf_event_paranoid is ${paranoid})`);
  return missing(
    `CAP_PERFMON is missing and kernel.perf_event_paranoid is ${paranoid}`,
    `${AS_ROOT}=PERFMON`,
  );
}

function seccomp(machine: Machine) {
  const mode = /^Seccomp:\s*(\d)/m.exec(machine.read('/proc/self/status') ?? '')?.[1];
  if (mode === undefined || mode === '0') return ok('no filter');
  return warn(
    'a filter is active and may deny bpf and perf_event_open; the trial below tells',
    'docker run --security-opt seccomp=unconfined, or a profile that allows both calls',
  );
}

function kernelNames(machine: Machine) {
  const first = machine.read('/proc/kallsyms')?.slice(0, 4096);
  const visible = first !== undefined && /^(?!0{16} )[0-9a-f]{16} /m.test(first);
  if (visible) return ok('addresses in /proc/kallsyms are visible');
  const restrict = readNumber(machine, '/proc/sys/kernel/kptr_restrict') ?? 0;
  return warn(
    first === undefined
      ? '/proc/kallsyms is not readable: kernel frames stay without names'
      : `addresses are hidden (kernel.kptr_restrict is ${restrict}): kernel frames stay without names`,
    restrict > 1 ? 'sudo sysctl -w kernel.kptr_restrict=1' : `${AS_ROOT}=SYSLOG`,
  );
}

function processMaps(machine: Machine) {
  if (!holds(machine, 'SYS_PTRACE'))
    return warn(
      'CAP_SYS_PTRACE is missing: only processes of this user get names and whole stacks',
      `${AS_ROOT}=SYS_PTRACE`,
    );
  const pids = machine.list('/proc').filter((name) => /^\d+$/.test(name));
  // auxv asks for the same permission as maps and is short; a process may be gone by now.
  const closed = pids
    .slice(0, MOST_PROCESSES)
    .filter((pid) => machine.read(`/proc/${pid}/auxv`) === undefined)
    // Kernel threads have neither; their command line is empty.
    .filter((pid) => (machine.read(`/proc/${pid}/cmdline`) ?? '') !== '');
  if (pids.length === 0) return missing('/proc shows no process', 'mount /proc');
  if (closed.length === 0) return ok('readable');
  const names = closed
    .slice(0, 3)
    .map((pid) => cleanName(machine.read(`/proc/${pid}/comm`)?.trim() ?? pid));
  return warn(
    `${closed.length} of ${pids.length} cannot be looked into (${names.join(', ')}): they may stay without names and whole stacks`,
    'allow ptrace in AppArmor or SELinux, if one of them denies it',
  );
}

function mapFiles(machine: Machine) {
  return may(machine, 'CHECKPOINT_RESTORE')
    ? ok('readable through /proc/PID/map_files')
    : warn(
        'CAP_CHECKPOINT_RESTORE is missing: programs deleted or replaced after their start stay without names',
        `${AS_ROOT}=CHECKPOINT_RESTORE`,
      );
}

function readFiles(machine: Machine) {
  return holds(machine, 'DAC_READ_SEARCH')
    ? ok('readable')
    : warn(
        'CAP_DAC_READ_SEARCH is missing: programs in closed folders stay without names',
        `${AS_ROOT}=DAC_READ_SEARCH`,
      );
}
