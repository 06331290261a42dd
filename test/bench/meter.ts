/** Readings of what a process and the BPF programs cost, from /proc and bpftool. */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { REPOSITORY } from '../harness/programs.ts';

const STATS_SWITCH = '/proc/sys/kernel/bpf_stats_enabled';
/** USER_HZ of every Linux ABI. */
const TICKS_PER_SECOND = 100;

/** Switches run-time statistics of BPF programs on; the result puts them back. */
export function enableBpfStats(): () => void {
  const before = readFileSync(STATS_SWITCH, 'utf8').trim();
  writeFileSync(STATS_SWITCH, '1');
  return () => writeFileSync(STATS_SWITCH, before);
}

/** @throws Error when somebody switched the statistics off meanwhile: other tools do. */
export function checkBpfStats(): void {
  if (readFileSync(STATS_SWITCH, 'utf8').trim() !== '1') {
    throw new Error('kernel.bpf_stats_enabled was switched off during the measurement');
  }
}

const bpftool = (...args: string[]): unknown =>
  JSON.parse(
    execFileSync('bpftool', ['-j', ...args], { stdio: ['ignore', 'pipe', 'ignore'] }).toString(),
  );

export interface ProgramStats {
  readonly id: number;
  readonly name: string;
  readonly type: string;
  readonly runNs: number;
  readonly runs: number;
}

/** All loaded BPF programs. */
export function bpfPrograms(): ProgramStats[] {
  const list = bpftool('prog', 'show') as Record<string, string | number>[];
  return list.map((program) => ({
    id: Number(program.id),
    name: String(program.name ?? ''),
    type: String(program.type),
    runNs: Number(program.run_time_ns ?? 0),
    runs: Number(program.run_cnt ?? 0),
  }));
}

/** Run time and runs of the programs that `select` takes, summed up. */
export function bpfTotal(select: (program: ProgramStats) => boolean): { ns: number; runs: number } {
  let [ns, runs] = [0, 0];
  for (const program of bpfPrograms().filter(select)) {
    ns += program.runNs;
    runs += program.runs;
  }
  return { ns, runs };
}

/** Names of `enum ft_counter`, in order, from the header that owns them. */
export function counterNames(): string[] {
  const header = readFileSync(join(REPOSITORY, 'bpf', 'record.h'), 'utf8');
  const list = /#define FT_COUNTERS\(X\)((?:.*\\\n)*.*)/.exec(header);
  return [...(list?.[1] ?? '').matchAll(/X\(\w+, (\w+)\)/g)].map((match) => match[1]!);
}

export type Counters = Readonly<Record<string, number>>;

/** The kernel side's own counters, summed over CPUs, of the newest running sampler, or of a process's. */
export function samplerCounters(pid?: number): Counters {
  const maps = bpftool('map', 'show') as { id: number; name?: string }[];
  const own = pid === undefined ? undefined : mapSizes(pid);
  const isOurs = (id: number): boolean => own?.has(String(id)) ?? true;
  const map = maps.filter(({ id, name }) => name === 'ft_counts' && isOurs(id)).at(-1);
  if (map === undefined) throw new Error('no sampler is loaded: BPF map ft_counts is missing');
  const dump = bpftool('map', 'dump', 'id', String(map.id)) as { values: { value: string[] }[] }[];
  const names = counterNames();
  const sums = names.map(() => 0);
  for (const { value } of dump[0]?.values ?? []) {
    const bytes = Uint8Array.from(value.map((byte) => Number(byte)));
    const view = new DataView(bytes.buffer);
    names.forEach((_, index) => {
      if (index * 8 + 8 <= bytes.length) sums[index]! += Number(view.getBigUint64(index * 8, true));
    });
  }
  return Object.fromEntries(names.map((name, index) => [name, sums[index]!]));
}

export interface ProcessReading {
  /** User and system time, nanoseconds, as the scheduler counts. */
  readonly cpuNs: number;
  /** User time, nanoseconds, in steps of 10 ms. */
  readonly userNs: number;
  readonly rssBytes: number;
  readonly pssBytes: number;
  /** Memory of the BPF maps that it holds open. */
  readonly mapBytes: number;
}

/** @throws Error when the process is gone. */
export function readProcess(pid: number): ProcessReading {
  let cpuNs = 0;
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    try {
      const schedstat = readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8');
      cpuNs += Number(schedstat.split(' ')[0]);
    } catch {
      // a thread that ended between the two reads
    }
  }
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  const kib = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(rollup)?.[1] ?? 0);
  return {
    cpuNs,
    userNs: (Number(fields[11]) / TICKS_PER_SECOND) * 1e9,
    rssBytes: kib('Rss') * 1024,
    pssBytes: kib('Pss') * 1024,
    mapBytes: mapMemory(pid),
  };
}

/** Bytes of all BPF maps that a process has descriptors of, each counted once. */
export const mapMemory = (pid: number): number =>
  [...mapSizes(pid).values()].reduce((sum, bytes) => sum + bytes, 0);

/** Bytes by the map's id. */
function mapSizes(pid: number): Map<string, number> {
  const sizes = new Map<string, number>();
  for (const descriptor of readdirSync(`/proc/${pid}/fdinfo`)) {
    try {
      const text = readFileSync(`/proc/${pid}/fdinfo/${descriptor}`, 'utf8');
      const id = /^map_id:\s+(\d+)/m.exec(text)?.[1];
      const bytes = /^memlock:\s+(\d+)/m.exec(text)?.[1];
      if (id !== undefined && bytes !== undefined) sizes.set(id, Number(bytes));
    } catch {
      // a descriptor closed between the two reads
    }
  }
  return sizes;
}
