/** What differs between the kernels that we run on, from Linux 5.10 to the newest. */
import { parseCpuList } from '../capture/cpus.ts';
import { type Check, check, missing, ok, warn } from './doctor-check.ts';
import { holds, kernelAtLeast, type Machine } from './doctor-machine.ts';

/** Unwind tables and the maps of processes, mappings, files and labels: 9 MiB, and some room. */
const MAPS_MIB = 12;
/** A ring of 512 KiB and 64 KiB of scratch memory for each CPU, and some room. */
const PER_CPU_MIB = 1;
const MIB = 1 << 20;

/** `types` is the kernel's BTF, in which names stand as they are. */
export function checkDifferences(machine: Machine, types: Buffer | undefined): Check[] {
  return [
    check('memlock', 'Locked memory', memlock(machine)),
    check('user-registers', 'User code below the kernel', userRegisters(machine, types)),
    check('memory-names', 'Names of memory', memoryNames(machine)),
  ];
}

function memlock(machine: Machine) {
  // Commit d5299b67dd59 ("bpf: Memcg-based memory accounting"), 5.11.
  if (kernelAtLeast(machine, 5, 11))
    return ok('BPF memory counts against the cgroup’s memory limit instead, from Linux 5.11 on');
  if (holds(machine, 'SYS_RESOURCE')) return ok('may be raised (CAP_SYS_RESOURCE)');
  const soft = /^Max locked memory\s+(\S+)/m.exec(machine.read('/proc/self/limits') ?? '')?.[1];
  if (soft === 'unlimited') return ok('unlimited');
  const cpus = parseCpuList(machine.read('/sys/devices/system/cpu/possible') ?? '0').length;
  const needed = MAPS_MIB + cpus * PER_CPU_MIB;
  return Number(soft) >= needed * MIB
    ? ok(`limited to ${soft} bytes, enough for ${needed} MiB of BPF memory`)
    : missing(
        `limited to ${soft ?? 'an unknown number of'} bytes, and before Linux 5.11 up to ${needed} MiB of BPF memory count against it`,
        'ulimit -l unlimited (systemd: LimitMEMLOCK=infinity), or add CAP_SYS_RESOURCE',
      );
}

function userRegisters(machine: Machine, types: Buffer | undefined) {
  // Commit dd6e10fbd9fb ("bpf: Add bpf_task_pt_regs() helper"), 5.15.
  if (types?.includes('BPF_FUNC_task_pt_regs'))
    return ok('its registers are asked from the kernel');
  return / __asan_loadN$/m.test(machine.read('/proc/kallsyms') ?? '')
    ? warn(
        'before Linux 5.15 its registers are taken from the top of a kernel stack of 16 KiB, and with CONFIG_KASAN stacks are larger: what called the kernel is not known',
        'boot Linux 5.15 or later, or a kernel without CONFIG_KASAN',
      )
    : ok('its registers are taken from the top of the kernel’s stack, as before Linux 5.15');
}

function memoryNames(machine: Machine) {
  const names = machine.read('/proc/kallsyms');
  if (names === undefined)
    return warn('not known: /proc/kallsyms is not readable', 'see Kernel function names');
  // Commit 9a10064f5625 ("mm: add a field to store names for private anonymous memory"), 5.17.
  return / anon_vma_name_alloc$/m.test(names)
    ? ok('known to this kernel')
    : warn(
        'this kernel gives anonymous memory none: what a program publishes of itself there is not found, only what it keeps in a memfd',
        'boot a kernel from Linux 5.17 on that is built with CONFIG_ANON_VMA_NAME=y',
      );
}
