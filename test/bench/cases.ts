/** What is measured, one function per question; each returns its figures. */
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type JsonSample, markerOf, userFrames } from '../harness/chains.ts';
import { copyWithNewBuildId } from '../harness/new-binary.ts';
import { buildProgram } from '../harness/programs.ts';
import { CLI, countOf, execute, ofPid, pause, record } from '../harness/record.ts';
import { Agent } from './agent.ts';
import { COLD_WALK_KIB, chainCommand, loadNamed, RunningLoad } from './loads.ts';
import { bpfTotal, checkBpfStats, readProcess, samplerCounters } from './meter.ts';
import { bpftrace, getStackBaseline, perfRecord } from './peers.ts';
import { type Figure, fitLine } from './table.ts';
import { timed } from './timed-command.ts';

export interface Setting {
  /** Length of each window. */
  readonly seconds: number;
  /** Time given to loads and the agent before a window. */
  readonly settle: number;
  readonly port: number;
}

const MIB = 1024 * 1024;
const LOSSES = ['ring_full', 'no_ring', 'no_scratch', 'swallowed', 'event_ring_full'] as const;

interface Window {
  readonly samples: number;
  readonly frames: number;
  /** BPF time of the sampler. */
  readonly sampleNs: number;
  /** BPF time of the other programs: exec, exit, fork. */
  readonly eventNs: number;
  readonly cpuPercent: number;
  readonly userPercent: number;
  readonly rssMib: number;
  readonly pssMib: number;
  readonly mapsMib: number;
  readonly lost: Readonly<Record<string, number>>;
  readonly deferred: number;
  readonly firstTick: number;
}

const isSampler = ({ name }: { name: string }): boolean => name.startsWith('ft_sample');
const isOther = ({ name }: { name: string }): boolean =>
  name.startsWith('ft_') && !isSampler({ name });

/** Starts the agent beside what is running, lets it settle and reads it over one window. */
async function agentWindow(setting: Setting): Promise<Window> {
  const agent = new Agent(setting.port);
  try {
    const firstTick = await agent.firstTick();
    await pause(setting.settle * 1000);
    const read = () => ({
      time: process.hrtime.bigint(),
      process: readProcess(agent.pid),
      sampler: bpfTotal(isSampler),
      others: bpfTotal(isOther),
      counters: samplerCounters(),
    });
    const a = read();
    await pause(setting.seconds * 1000);
    const b = read();
    checkBpfStats();
    const wall = Number(b.time - a.time);
    const gained = (name: string): number => (b.counters[name] ?? 0) - (a.counters[name] ?? 0);
    return {
      samples: gained('sent') + gained('deferred'),
      frames: gained('user_frames'),
      deferred: gained('deferred'),
      sampleNs: b.sampler.ns - a.sampler.ns,
      eventNs: b.others.ns - a.others.ns,
      cpuPercent: (100 * (b.process.cpuNs - a.process.cpuNs)) / wall,
      userPercent: (100 * (b.process.userNs - a.process.userNs)) / wall,
      rssMib: b.process.rssBytes / MIB,
      pssMib: b.process.pssBytes / MIB,
      mapsMib: b.process.mapBytes / MIB,
      lost: Object.fromEntries(LOSSES.map((name) => [name, gained(name)])),
      firstTick,
    };
  } finally {
    await agent.stop();
  }
}

async function withLoad<T>(
  commands: readonly (readonly string[])[],
  setting: Setting,
  measure: () => Promise<T>,
): Promise<T> {
  const load = new RunningLoad(commands);
  try {
    await pause(setting.settle * 500);
    load.check();
    const result = await measure();
    load.check();
    return result;
  } finally {
    await load.stop();
  }
}

const CPU_AIMS: Readonly<Record<string, number>> = { idle: 0.12, c: 0.25, go: 0.55, mix: 0.7 };
const BPF_AIMS: Readonly<Record<string, readonly [number, number]>> = {
  'c-cold': [6.5, 5],
  mix: [8, 6],
};

/** The agent on one load. */
export async function onLoad(name: string, setting: Setting): Promise<Figure[]> {
  const load = loadNamed(name);
  const window = await withLoad(load.commands(), setting, () => agentWindow(setting));
  const perSample = window.samples === 0 ? undefined : window.sampleNs / window.samples / 1000;
  const [bpfAim, bpfStretch] = BPF_AIMS[name] ?? [];
  const cpuAim = CPU_AIMS[name];
  const lost = Object.values(window.lost).reduce((sum, count) => sum + count, 0);
  const depth =
    window.samples === 0 ? 0 : window.frames / Math.max(1, window.samples - window.deferred);
  return [
    {
      what: `${name}: BPF time per sample`,
      unit: 'µs',
      ...(perSample === undefined ? {} : { ours: perSample }),
      ...(bpfAim === undefined ? {} : { atMost: bpfAim, stretch: bpfStretch! }),
      note: `${window.samples} samples, ${depth.toFixed(1)} user frames, ${window.deferred} deferred`,
    },
    {
      what: `${name}: BPF time for exec, exit, fork`,
      unit: 'µs/s',
      ours: window.eventNs / 1000 / setting.seconds,
    },
    {
      what: `${name}: agent's user CPU`,
      unit: '% of a core',
      ours: window.userPercent,
      ...(cpuAim === undefined ? {} : { atMost: cpuAim, stretch: cpuAim / 2 }),
      note: `with system time ${window.cpuPercent.toFixed(2)} %`,
    },
    {
      what: `${name}: RSS + BPF maps`,
      unit: 'MiB',
      ours: window.rssMib + window.mapsMib,
      atMost: 90,
      stretch: 64,
      note: `RSS ${window.rssMib.toFixed(1)}, PSS ${window.pssMib.toFixed(1)}, maps ${window.mapsMib.toFixed(1)}`,
    },
    {
      what: `${name}: samples lost`,
      unit: '',
      ours: lost,
      atMost: 0,
      note: lost === 0 ? '' : JSON.stringify(window.lost),
    },
    {
      what: `${name}: start to first sample`,
      unit: 's',
      ours: window.firstTick,
      atMost: 0.4,
      stretch: 0.2,
      note: 'read every 20 ms',
    },
  ];
}

/** Fixed cost and slope per frame, against bpf_get_stack on the build with frame pointers. */
export async function depthSlope(setting: Setting): Promise<Figure[]> {
  const ours: { x: number; y: number }[] = [];
  const baseline: { x: number; y: number }[] = [];
  let ratioAt30: { ours: number; peer: number } | undefined;
  // bpf_get_stack ends at 127 frames (kernel.perf_event_max_stack)
  for (const rounds of [1, 2, 3, 4]) {
    const plain = chainCommand(rounds, COLD_WALK_KIB);
    const window = await withLoad([plain], setting, () => agentWindow(setting));
    const walked = Math.max(1, window.samples - window.deferred);
    const point = { x: window.frames / walked, y: window.sampleNs / Math.max(1, window.samples) };
    ours.push(point);
    const framed = chainCommand(rounds, COLD_WALK_KIB, { framePointers: true });
    const base = await withLoad([framed], setting, () => getStackBaseline(setting.seconds));
    baseline.push({ x: base.framesPerSample, y: base.nsPerSample });
    ratioAt30 ??= { ours: point.y, peer: base.nsPerSample };
  }
  const [line, baseLine] = [fitLine(ours), fitLine(baseline)];
  const points = ours.map(({ x, y }) => `${x.toFixed(0)}: ${y.toFixed(0)}`).join(', ');
  const basePoints = baseline.map(({ x, y }) => `${x.toFixed(0)}: ${y.toFixed(0)}`).join(', ');
  return [
    {
      what: 'cold, 33 frames: BPF time per sample / bpf_get_stack',
      unit: '×',
      ...(ratioAt30 ? { ours: ratioAt30.ours / ratioAt30.peer } : {}),
      atMost: 1.8,
      stretch: 1.4,
    },
    {
      what: 'cold: BPF time per sample, fixed part',
      unit: 'ns',
      ...(line ? { ours: line.fixed } : {}),
      ...(baseLine ? { peer: baseLine.fixed, peerName: 'bpf_get_stack' } : {}),
    },
    {
      what: 'cold: slope per user frame',
      unit: 'ns',
      ...(line ? { ours: line.slope } : {}),
      ...(baseLine ? { peer: baseLine.slope, peerName: 'bpf_get_stack' } : {}),
      atMost: 45,
      stretch: 30,
      note: `frames: ns ${points}; bpf_get_stack ${basePoints}`,
    },
  ];
}

/** The agent's user CPU beside `perf record -a -g` and bpftrace, on the mix. */
export async function besidePeers(setting: Setting): Promise<Figure[]> {
  return withLoad(loadNamed('mix').commands(), setting, async () => {
    const window = await agentWindow(setting);
    const perf = await perfRecord('fp', setting.seconds);
    const trace = await bpftrace(setting.seconds);
    const perfPercent = (100 * perf.recordUser) / setting.seconds;
    return [
      {
        what: "mix: agent's user CPU / perf record -a -g",
        unit: '×',
        ours: perfPercent === 0 ? Number.NaN : window.userPercent / perfPercent,
        atMost: 0.6,
        stretch: 0.3,
        note: `${window.userPercent.toFixed(2)} % and ${perfPercent.toFixed(2)} % of a core`,
      },
      {
        what: "mix: agent's CPU, user and system",
        unit: '% of a core',
        ours: window.cpuPercent,
        peer: (100 * (perf.recordUser + perf.recordSystem)) / setting.seconds,
        peerName: 'perf record -a -g',
      },
      {
        what: 'mix: BPF time per sample',
        unit: 'µs',
        ours: window.sampleNs / Math.max(1, window.samples) / 1000,
        peer: trace.bpfNsPerRun / 1000,
        peerName: 'bpftrace @[ustack, comm]',
      },
    ];
  });
}

/** `record` from start to finished pprof, against perf's DWARF mode with its report. */
export async function recordCost(setting: Setting): Promise<Figure[]> {
  return withLoad(loadNamed('mix').commands(), setting, async () => {
    const folder = mkdtempSync(join(tmpdir(), 'bench-record-'));
    try {
      const options = `--duration ${setting.seconds}s --output ${join(folder, 'out.pb.gz')}`;
      const run = await timed(`'${CLI}' record ${options}`);
      if (run.code !== 0) throw new Error(`flametap record: ${run.stderr}`);
      const perf = await perfRecord('dwarf', setting.seconds);
      const perfCpu = perf.recordUser + perf.recordSystem + perf.reportCpu;
      return [
        {
          what: `mix: CPU of record, ${setting.seconds} s`,
          unit: 's',
          ours: run.cpuSeconds,
          peer: perfCpu,
          peerName: 'perf --call-graph dwarf',
          atMost: perfCpu,
          stretch: 0.6 * perfCpu,
          note: `pprof ${formatKib(statSync(join(folder, 'out.pb.gz')).size)}; perf ${formatKib(perf.fileBytes)}, ${perf.samples} samples`,
        },
      ];
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
}

const formatKib = (bytes: number): string => `${(bytes / 1024).toFixed(0)} KiB`;

const isWhole = (sample: JsonSample): boolean => markerOf(sample) === undefined;
const hasUser = (sample: JsonSample): boolean =>
  userFrames(sample).some((frame) => frame.type !== 'marker');

/** Processes of 50 ms CPU: how many of the samples that they must have carry user frames. */
export async function shortProcesses(setting: Setting): Promise<Figure[]> {
  const folder = mkdtempSync(join(tmpdir(), 'bench-short-'));
  const count = Math.max(10, Math.round(setting.seconds * 8));
  try {
    const program = buildProgram('brief');
    const known: string[] = Array(count).fill(`${program} 50`);
    const fresh = known.map((_, index) => {
      const path = join(folder, `new${index}`);
      copyWithNewBuildId(program, path, index + 1);
      return `${path} 50`;
    });
    const figures: Figure[] = [];
    for (const [what, lines, atLeast, stretch] of [
      ['known binary', known, 99, 100],
      ['binary never seen before', fresh, 95, 99],
    ] as const) {
      const script = join(folder, 'run.sh');
      writeFileSync(script, `${lines.join('\n')}\n`);
      const recording = await record({ command: ['sh', script] });
      let [expected, withUser, whole, total, seen] = [0, 0, 0, 0, 0];
      for (const { pid, cpuNs } of recording.reports) {
        const samples = ofPid(recording, pid);
        expected += (cpuNs / 1e9) * recording.hz;
        total += countOf(samples);
        withUser += countOf(samples.filter(hasUser));
        whole += countOf(samples.filter((sample) => hasUser(sample) && isWhole(sample)));
        if (samples.length > 0) seen++;
      }
      figures.push({
        what: `50 ms processes, ${what}: samples with user frames`,
        unit: '%',
        ours: (100 * withUser) / total,
        atLeast,
        stretch,
        note: `${seen} of ${recording.reports.length} seen, ${total} samples of ${expected.toFixed(0)} expected, ${whole} whole`,
      });
    }
    return figures;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Of the samples of the first second, how many are whole and named. */
export async function firstSecond(setting: Setting): Promise<Figure[]> {
  return withLoad([chainCommand(1, 0)], setting, async () => {
    const recording = await record({ options: ['--comm', 'chain', '--duration', '1s'] });
    const good = recording.samples.filter(
      (sample) => isWhole(sample) && userFrames(sample).some((frame) => frame.name === 'a1'),
    );
    const total = countOf(recording.samples);
    return [
      {
        what: 'first second: whole named stacks of a running process',
        unit: '%',
        ours: (100 * countOf(good)) / total,
        atLeast: 99,
        note: `${total} samples`,
      },
    ];
  });
}

/** Saved records through decode, aggregate and encode again. */
export async function replay(setting: Setting): Promise<Figure[]> {
  const folder = mkdtempSync(join(tmpdir(), 'bench-replay-'));
  try {
    return await withLoad(loadNamed('mix').commands(), setting, async () => {
      const files: { path: string; samples: number }[] = [];
      for (const [name, seconds] of [
        ['short', 0.2],
        ['long', setting.seconds],
      ] as const) {
        const path = join(folder, name);
        const output = join(folder, `${name}.json`);
        const options = ['--hz', '9999', '--duration', `${Math.round(seconds * 1000)}ms`];
        const saving = ['--save-records', path, '--format', 'json', '--output', output];
        const run = await execute([CLI, 'record', ...options, ...saving]);
        if (run.code !== 0) throw new Error(`flametap record: ${run.stderr}`);
        const { tally } = JSON.parse(readFileSync(output, 'utf8')) as {
          tally: { exported: number };
        };
        files.push({ path, samples: tally.exported });
      }
      return files;
    }).then(async ([short, long]) => {
      // the difference of two runs leaves out start-up and loading
      const again = ({ path }: { path: string }) =>
        timed(`'${CLI}' record --replay ${path} --format pprof --output /dev/null`);
      const [a, b] = [await again(short!), await again(long!)];
      const samples = long!.samples - short!.samples;
      const cpu = b.cpuSeconds - a.cpuSeconds;
      return [
        {
          what: 'replay: decode, aggregate, encode',
          unit: 'samples/s of CPU',
          ours: cpu > 0 ? samples / cpu : Number.NaN,
          atLeast: 400_000,
          stretch: 1_000_000,
          note: `${samples} samples more take ${cpu.toFixed(2)} s more; ${formatKib(statSync(long!.path).size)}`,
        },
      ];
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** What the machine and the peers do here without us: runs even where our CLI does not. */
export async function peersAlone(setting: Setting): Promise<Figure[]> {
  const framed = chainCommand(1, COLD_WALK_KIB, { framePointers: true });
  return withLoad([framed], setting, async () => {
    const base = await getStackBaseline(setting.seconds);
    const trace = await bpftrace(setting.seconds);
    const perf = await perfRecord('fp', setting.seconds);
    const dwarf = await perfRecord('dwarf', setting.seconds);
    const row = (
      what: string,
      unit: string,
      peer: number,
      peerName: string,
      note = '',
    ): Figure => ({
      what,
      unit,
      peer,
      peerName,
      note,
    });
    const percent = (seconds: number): number => (100 * seconds) / setting.seconds;
    return [
      row(
        'c-cold with frame pointers: BPF time per sample',
        'µs',
        base.nsPerSample / 1000,
        'bpf_get_stack',
        `${base.samples} samples, ${base.framesPerSample.toFixed(1)} frames`,
      ),
      row(
        'the same: BPF time per sample',
        'µs',
        trace.bpfNsPerRun / 1000,
        'bpftrace @[ustack, comm]',
      ),
      row('the same: CPU with start and stop', 's', trace.cpuSeconds, 'bpftrace'),
      row(
        'the same: CPU while recording',
        '% of a core',
        percent(perf.recordUser + perf.recordSystem),
        'perf -g',
      ),
      row(
        'the same: CPU while recording',
        '% of a core',
        percent(dwarf.recordUser + dwarf.recordSystem),
        'perf --call-graph dwarf',
        `${formatKib(dwarf.fileBytes)}, ${dwarf.samples} samples`,
      ),
      row('the same: CPU of perf script --no-inline', 's', dwarf.reportCpu, 'perf script'),
    ];
  });
}
