/** What perf, bpftrace and a bare bpf_get_stack cost on the load that is running. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { REPOSITORY } from '../harness/programs.ts';
import { execute, pause } from '../harness/record.ts';
import { PERF_SCRIPT_FIELDS, parsePerfScript } from '../peers/perf.ts';
import { bpfTotal } from './meter.ts';
import { timed } from './timed-command.ts';

const CACHE = join(REPOSITORY, 'build', 'bench');

export interface PeerCost {
  /** While it records, seconds of user and system time. */
  readonly recordUser: number;
  readonly recordSystem: number;
  /** Making stacks with names of it afterwards; 0 when not asked for. */
  readonly reportCpu: number;
  readonly samples: number;
  readonly fileBytes: number;
}

/**
 * `perf record -F 99 -a` for some seconds.
 * @param callGraph `fp`, or `dwarf` followed by `perf script --no-inline`
 */
export async function perfRecord(callGraph: 'fp' | 'dwarf', seconds: number): Promise<PeerCost> {
  const folder = mkdtempSync(join(tmpdir(), 'bench-perf-'));
  try {
    const data = join(folder, 'perf.data');
    const record = `exec perf record -q -F 99 -a --call-graph ${callGraph} -o ${data} -- sleep ${seconds}`;
    const recorded = await timed(`(${record})`);
    if (recorded.code !== 0) throw new Error(`perf record: ${recorded.stderr}`);
    const fileBytes = statSync(data).size;
    const script = `perf script -i ${data} ${PERF_SCRIPT_FIELDS.join(' ')} > ${data}.txt 2>/dev/null`;
    const reported = await timed(script);
    const samples = parsePerfScript(readFileSync(`${data}.txt`, 'utf8'));
    return {
      recordUser: recorded.userSeconds,
      recordSystem: recorded.systemSeconds,
      reportCpu: callGraph === 'dwarf' ? reported.cpuSeconds : 0,
      samples: samples.filter(({ pid }) => pid !== 0).length,
      fileBytes,
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

export interface BpftraceCost {
  readonly cpuSeconds: number;
  readonly userSeconds: number;
  readonly bpfNsPerRun: number;
}

/**
 * A bpftrace one-liner that counts user stacks; BPF statistics must be on. Its
 * printing of names at the end is cut off: on a mix of programs bpftrace 0.17
 * spends minutes there.
 */
export async function bpftrace(seconds: number): Promise<BpftraceCost> {
  // the probe's name became the program's: `99` in bpftrace 0.17, others later
  const others = new Set<number>();
  bpfTotal(({ id }) => {
    others.add(id);
    return false;
  });
  const line = `profile:hz:99 { @[ustack, comm] = count(); } interval:s:${Math.ceil(seconds) + 1} { exit(); }`;
  const limit = Math.ceil(seconds) + 10;
  const running = timed(`(exec timeout -s KILL ${limit} bpftrace -e '${line}') > /dev/null`);
  await pause((seconds + 1) * 1000);
  const { ns, runs } = bpfTotal((one) => one.type === 'perf_event' && !others.has(one.id));
  const finished = await running;
  // 137: still printing when time was up
  if (finished.code !== 0 && finished.code !== 137) throw new Error(`bpftrace: ${finished.stderr}`);
  return {
    cpuSeconds: finished.cpuSeconds,
    userSeconds: finished.userSeconds,
    bpfNsPerRun: runs === 0 ? 0 : ns / runs,
  };
}

export interface BaselineCost {
  readonly nsPerSample: number;
  readonly framesPerSample: number;
  readonly samples: number;
}

function buildBaseline(): { loader: string; object: string } {
  const sources = ['baseline.c', 'baseline.bpf.c'].map((name) => join(import.meta.dirname, name));
  const hash = createHash('sha256');
  for (const source of sources) hash.update(readFileSync(source));
  const stem = join(CACHE, `baseline-${hash.digest('hex').slice(0, 16)}`);
  const [loader, object] = [stem, `${stem}.bpf.o`];
  if (!existsSync(loader) || !existsSync(object)) {
    mkdirSync(CACHE, { recursive: true });
    // Debian keeps asm/types.h in a folder of the architecture, unknown to -target bpf
    const include = '/usr/include/x86_64-linux-gnu';
    const bpfFlags = ['-O2', '-g', '-target', 'bpf', '-mcpu=v3', '-I', include];
    execFileSync('clang', [...bpfFlags, '-c', sources[1]!, '-o', object]);
    execFileSync('gcc', ['-O2', '-o', loader, sources[0]!, '-lbpf']);
  }
  return { loader, object };
}

/** A BPF program that does nothing but bpf_get_stack of the user stack, at 99 Hz. */
export async function getStackBaseline(seconds: number): Promise<BaselineCost> {
  const { loader, object } = buildBaseline();
  const run = await execute([loader, object, String(seconds)]);
  if (run.code !== 0) throw new Error(`baseline: ${run.stderr}`);
  const result = JSON.parse(run.stdout) as Record<'run_ns' | 'runs' | 'samples' | 'frames', number>;
  const samples = Math.max(1, result.samples);
  return {
    nsPerSample: result.run_ns / samples,
    framesPerSample: result.frames / samples,
    samples: result.samples,
  };
}
