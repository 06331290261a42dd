/** The installation, the room on this machine, and who else profiles it. */

import { join } from 'node:path';
import { cleanName } from '../symbolize/clean-name.ts';
import { type Check, check, missing, ok, warn } from './doctor-check.ts';
import type { Machine } from './doctor-machine.ts';

const NODE_FLOOR = 24;
/** Twice what the agent is allowed to use in all (design: 90 MiB at most, with its start). */
const MEMORY_FLOOR_KIB = 192 * 1024;
/** BPF_PROG_TYPE_PERF_EVENT of include/uapi/linux/bpf.h. */
const PERF_EVENT_PROGRAM = 7;
/** A machine may have millions of descriptors; the answer is a hint, not a census. */
const MOST_DESCRIPTORS = 50_000;

export function checkLoad(machine: Machine): Check[] {
  return [
    check('cpus', 'CPUs', cpus(machine)),
    check('memory', 'Memory', memory(machine)),
    check('node', 'Node', node(machine)),
    check('build', 'Addon and BPF object', built(machine)),
    check('other-profilers', 'Other profilers', otherProfilers(machine)),
  ];
}

function cpus(machine: Machine) {
  return ok(`${machine.read('/sys/devices/system/cpu/online')?.trim() ?? 'not known'} online`);
}

function memory(machine: Machine) {
  const found = /^MemAvailable:\s+(\d{1,15}) kB/m.exec(machine.read('/proc/meminfo') ?? '')?.[1];
  if (found === undefined) return warn('not known', 'mount /proc');
  const mebibytes = Math.floor(Number(found) / 1024);
  return Number(found) >= MEMORY_FLOOR_KIB
    ? ok(`${mebibytes} MiB available`)
    : warn(`only ${mebibytes} MiB available`, 'free memory, or add some');
}

function node({ nodeVersion }: Machine) {
  const major = Number(/^v(\d{1,4})\./.exec(nodeVersion)?.[1] ?? 0);
  return major >= NODE_FLOOR
    ? ok(nodeVersion)
    : missing(`${nodeVersion}, older than ${NODE_FLOOR}`, 'npm run build, then use ./flametap');
}

function built(machine: Machine) {
  const absent = ['build/flametap.node', 'build/flametap.bpf.o'].filter(
    (file) => !machine.exists(join(machine.installation, file)),
  );
  return absent.length === 0
    ? ok('built')
    : missing(`${absent.join(' and ')} not built`, `npm run build in ${machine.installation}`);
}

/** @returns names of other processes that sample with perf events, with or without BPF */
function samplingProcesses(machine: Machine): string[] {
  const self = machine.link('/proc/self');
  const found: string[] = [];
  let looked = 0;
  for (const pid of machine.list('/proc').filter((name) => /^\d+$/.test(name) && name !== self)) {
    for (const fd of machine.list(`/proc/${pid}/fd`)) {
      looked += 1;
      if (looked > MOST_DESCRIPTORS) return found;
      if (!samples(machine, pid, fd)) continue;
      found.push(`${processName(machine, pid)} (pid ${pid})`);
      break;
    }
  }
  return found;
}

/** Its program, because a comm may say anything: Node's is MainThread. */
function processName(machine: Machine, pid: string): string {
  const program = machine.link(`/proc/${pid}/exe`)?.split('/').at(-1);
  return cleanName(program ?? machine.read(`/proc/${pid}/comm`)?.trim() ?? '?');
}

function samples(machine: Machine, pid: string, fd: string): boolean {
  const target = machine.link(`/proc/${pid}/fd/${fd}`);
  if (target === 'anon_inode:[perf_event]') return true;
  if (target !== 'anon_inode:bpf-prog') return false;
  const type = /^prog_type:\s*(\d+)$/m.exec(machine.read(`/proc/${pid}/fdinfo/${fd}`) ?? '')?.[1];
  return Number(type) === PERF_EVENT_PROGRAM;
}

function otherProfilers(machine: Machine) {
  const others = samplingProcesses(machine);
  return others.length === 0
    ? ok('none seen')
    : warn(
        `${others.slice(0, 3).join(', ')}${others.length > 3 ? ` and ${others.length - 3} more` : ''}: both work, and each sees the other’s cost`,
        'stop the others for undisturbed figures',
      );
}
