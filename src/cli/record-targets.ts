/** What --pid, --comm and --cgroup choose: a name that matches nothing is most likely a mistake. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { cgroupScope } from '../capture/cgroup.ts';
import { suggestion } from '../config/suggestion.ts';
import { CommandError, reasonOf } from './errors.ts';

export interface Targets {
  readonly pid: readonly number[];
  readonly comm: string | undefined;
  readonly cgroup: string | undefined;
}

/** Names told when nothing is near. */
const FEW = 8;

/** @throws CommandError when what is asked for cannot be there */
export function checkTargets({ pid, cgroup }: Targets): void {
  for (const one of pid)
    if (!runs(one))
      throw new CommandError(
        `--pid: no process ${one} is running; pgrep finds one by its name, --comm chooses all of a name`,
      );
  if (cgroup === undefined) return;
  try {
    cgroupScope(cgroup);
  } catch (error) {
    throw new CommandError(`--cgroup: ${reasonOf(error)}`);
  }
}

/** @returns what is missing as of now, and how it may be meant; undefined when there is something to sample */
export function missingTarget({ pid, comm, cgroup }: Targets): string | undefined {
  if (comm !== undefined) {
    const running = namesRunning();
    return running.has(comm)
      ? undefined
      : `--comm: no process is named '${comm}'${hint(comm, running)}`;
  }
  if (pid.length > 0 && !pid.some(runs))
    return `--pid: ${pid.join(', ')} ended before anything was sampled`;
  if (cgroup !== undefined && !hasProcesses(cgroup))
    return `--cgroup: no process is in ${cgroup}; systemd-cgls shows where they are`;
  return undefined;
}

function runs(pid: number): boolean {
  return statSync(`/proc/${pid}`, { throwIfNoEntry: false }) !== undefined;
}

/** Names of processes, each with the programs that run under it: Node.js names itself MainThread. */
function namesRunning(): Map<string, Set<string>> {
  const names = new Map<string, Set<string>>();
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const [program = ''] = readFileSync(`/proc/${entry}/cmdline`, 'utf8').split('\0');
      // Kernel threads have none.
      if (program === '') continue;
      const name = readFileSync(`/proc/${entry}/comm`, 'utf8').trimEnd();
      const programs = names.get(name) ?? new Set();
      names.set(name, programs.add(basename(program)));
    } catch {
      // It has ended.
    }
  }
  return names;
}

function hint(comm: string, running: ReadonlyMap<string, ReadonlySet<string>>): string {
  const names = [...running.keys()].sort();
  const underOthers = names.filter((name) => running.get(name)!.has(comm));
  if (underOthers.length > 0)
    return `; the program '${comm}' runs under the name ${quotedList(underOthers)}`;
  const guess = suggestion(comm, names);
  if (guess !== '') return guess;
  const near = names.filter((one) => one.startsWith(comm) || comm.startsWith(one));
  if (near.length > 0) return `; there are ${quotedList(near)}`;
  return `; there are ${quotedList(names.slice(0, FEW))}${names.length > FEW ? ' and others' : ''}`;
}

/** Names are strangers': without what a terminal would obey. */
const quotedList = (names: readonly string[]): string =>
  names.map((name) => `'${name.replaceAll(/\p{Cc}/gu, '?')}'`).join(', ');

/** In it or below. */
function hasProcesses(cgroup: string): boolean {
  try {
    if (readFileSync(join(cgroup, 'cgroup.procs'), 'utf8') !== '') return true;
    return readdirSync(cgroup, { withFileTypes: true }).some(
      (entry) => entry.isDirectory() && hasProcesses(join(cgroup, entry.name)),
    );
  } catch {
    // Threaded ones say nothing here: then it is not known to be empty.
    return true;
  }
}
