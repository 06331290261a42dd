/** Made-up profiles for tests: plausible names, any size, the same for the same seed. */
import { createHash } from 'node:crypto';
import type {
  FrameType,
  FunctionName,
  Label,
  Location,
  Mapping,
  Process,
  Profile,
} from '../profile/model.ts';
import { shortName } from '../symbolize/short-name.ts';
import { bootTime, nanoseconds, unixTime } from '../units/units.ts';

interface Program {
  readonly name: string;
  readonly module: string;
  readonly type: FrameType;
  readonly file: string;
  readonly functions: readonly string[];
}

const KERNEL: readonly string[] = [
  'entry_SYSCALL_64_after_hwframe',
  'do_syscall_64',
  'vfs_read',
  'ext4_file_read_iter',
  'filemap_read',
  'copy_page_to_iter',
  'tcp_sendmsg_locked',
  '__alloc_skb',
  'schedule',
  '__x64_sys_futex',
  'do_user_addr_fault',
  'clear_page_erms',
  'finish_task_switch.isra.0',
];

const PROGRAMS: readonly Program[] = [
  {
    name: 'postgres',
    module: '/usr/lib/postgresql/15/bin/postgres',
    type: 'native',
    file: 'execMain.c',
    functions: [
      'main',
      'PostmasterMain',
      'ServerLoop',
      'BackendStartup',
      'PostgresMain',
      'exec_simple_query',
      'PortalRun',
      'standard_ExecutorRun',
      'ExecAgg',
      'ExecHashJoin',
      'ExecSeqScan',
      'heap_getnextslot',
      'hash_bytes',
      'slot_deform_heap_tuple',
      'pg_qsort',
      'LWLockAcquire',
    ],
  },
  {
    name: 'checkout',
    module: '/srv/checkout/bin/checkout',
    type: 'go',
    file: '/build/checkout/server.go',
    functions: [
      'runtime.goexit',
      'net/http.(*conn).serve',
      'net/http.serverHandler.ServeHTTP',
      'github.com/acme/checkout/internal/api.(*Server).Handle',
      'github.com/acme/checkout/internal/cart.(*Cart).Total',
      'encoding/json.Marshal',
      'encoding/json.(*encodeState).reflectValue',
      'runtime.mallocgc',
      'runtime.gcBgMarkWorker',
      'runtime.scanobject',
      'runtime.mapaccess2_faststr',
      'crypto/sha256.block',
    ],
  },
  {
    name: 'node',
    module: '[anon]',
    type: 'v8js',
    file: '/srv/web/render.js',
    functions: [
      'processTicksAndRejections',
      'renderToString',
      'renderElement',
      'renderChildren',
      'JSON.parse',
      'get headers',
      'Router.handle',
      'onParserExecute',
      'Array.sort',
      'hydrate',
    ],
  },
  {
    name: 'python3',
    module: '/usr/bin/python3.11',
    type: 'cpython',
    file: '/srv/jobs/train.py',
    functions: [
      '<module>',
      'train',
      'epoch',
      'Batch.__iter__',
      'tokenize',
      'dataclasses._create_fn',
      'json.dumps',
      'ThreadPool._worker',
    ],
  },
  {
    name: 'ingest',
    module: '/usr/local/bin/ingest',
    type: 'rust',
    file: 'src/pipeline.rs',
    functions: [
      'std::rt::lang_start::<()>::{{closure}}',
      'tokio::runtime::scheduler::multi_thread::worker::run',
      '<ingest::pipeline::Parse as ingest::stage::Stage>::apply',
      'serde_json::de::from_slice::<ingest::event::Event>',
      'hashbrown::map::HashMap<alloc::string::String, u64>::insert',
      'regex_automata::meta::strategy::Core::search',
      'core::str::from_utf8',
    ],
  },
  {
    name: 'java',
    module: '[anon]',
    type: 'jvm',
    file: 'OrderService.java',
    functions: [
      'java.lang.Thread.run',
      'com.acme.orders.OrderService.price',
      'java.util.HashMap.getNode',
      'java.util.stream.ReferencePipeline.collect',
      'com.acme.orders.Rule$$Lambda.test',
    ],
  },
];

export interface ExampleOptions {
  readonly seed?: number;
  readonly samples?: number;
  readonly depth?: number;
  /** Milliseconds since 1970. */
  readonly startMs?: number;
  readonly seconds?: number;
  /** Names to use in place of some functions: hostile ones. */
  readonly names?: readonly string[];
  /** Distinct functions per program, made by numbering; more nodes. */
  readonly variety?: number;
  /** So many traces, from the last number, with spans in `checkout`, `ingest` and `node`. */
  readonly traces?: number;
  readonly firstTrace?: number;
}

/** Ids that are the same for the same numbers. */
export const exampleTraceId = (trace: number): string =>
  (0x4bf9_0000 + trace).toString(16).padStart(8, '0') +
  createHash('md5').update(`${trace}`).digest('hex').slice(8);
export const exampleSpanId = (trace: number, span: number): string =>
  createHash('md5').update(`${trace} ${span}`).digest('hex').slice(16);

/** Mulberry32: small, seeded, good enough for shapes. */
function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function exampleProfile(options: ExampleOptions = {}): Profile {
  const next = random(options.seed ?? 1);
  const pick = (length: number) => Math.floor(next() ** 1.7 * length);
  const wanted = options.samples ?? 4000;
  const depth = options.depth ?? 26;
  const variety = options.variety ?? 1;
  const mappings: Mapping[] = ['', '[kernel]', ...PROGRAMS.map((program) => program.module)].map(
    (file) => ({ start: 0, end: 0, fileOffset: 0, file, buildId: '', goBuildId: '' }),
  );
  const functions: FunctionName[] = [];
  const locations: Location[] = [];
  const add = (name: string, type: FrameType, mapping: number, file: string): number => {
    functions.push({
      name,
      shortName: shortName(name, name, type),
      systemName: name,
      file,
      startLine: 10 + ((functions.length * 37) % 900),
      unnamed: false,
    });
    const line = { function: functions.length - 1, line: 12, column: 0 };
    const lines = name === '' ? [] : [line];
    locations.push({ mapping, address: 0x1000 + 16 * locations.length, type, lines });
    return locations.length - 1;
  };
  const kernel = KERNEL.map((name) => add(name, 'kernel', 1, ''));
  const markers = ['stack memory not readable', 'no unwind table'].map((name) =>
    add(name, 'marker', 0, ''),
  );
  const own = PROGRAMS.map((program, at) => {
    const names = [...program.functions, ...(options.names ?? [])];
    return Array.from({ length: names.length * variety }, (_, index) => {
      const name = names[index % names.length]!;
      const number = Math.floor(index / names.length);
      return add(number === 0 ? name : `${name}_${number}`, program.type, at + 2, program.file);
    });
  });
  const unnamed = add('', 'native', 2, '');
  const processes: Process[] = [
    ...PROGRAMS.map((program, at) => ({
      pid: 1000 + at,
      name: program.name,
      executable: program.module.startsWith('[') ? `/usr/bin/${program.name}` : program.module,
      startNs: bootTime(BigInt(at)),
      execId: 1,
    })),
    { pid: 12, name: 'kworker/0:1', executable: '', startNs: bootTime(99n), execId: 1 },
  ];

  const stacks: Uint32Array[] = [];
  const process: number[] = [];
  const counts: number[] = [];
  const labels: number[] = [];
  const labelSets: Label[][] = [[]];
  /** Spans by program: a trace goes through three services. */
  const spans = new Map([
    ['node', [0, 1]],
    ['checkout', [2, 3, 4]],
    ['ingest', [5]],
  ]);
  const traces = options.traces ?? 0;
  for (let trace = 0; trace < traces; trace++) {
    for (let span = 0; span < 6; span++) {
      const number = (options.firstTrace ?? 0) + trace;
      labelSets.push([
        { key: 'trace_id', value: exampleTraceId(number) },
        { key: 'span_id', value: exampleSpanId(number, span) },
      ]);
    }
  }
  const labelsOf = (who: number): number => {
    const own = spans.get(processes[who]!.name);
    if (traces === 0 || own === undefined || next() < 0.1) return 0;
    return 1 + 6 * pick(traces) + own[pick(own.length)]!;
  };
  let cut = 0;
  let total = 0;
  while (total < wanted) {
    const who = pick(processes.length);
    const frames: number[] = [];
    const code = own[who];
    if (code) {
      let at = 0;
      const length = 3 + Math.floor(next() * (depth - 3));
      frames.push(code[0]!);
      for (let level = 1; level < length; level++) {
        // Mostly the same callee, now and then another: towers with a few branches.
        const branch = next() < (variety > 1 ? 0.5 : 0.14) ? pick(4 * variety) : 0;
        at = (at + 1 + branch) % code.length;
        frames.push(code[at]!);
      }
      if (next() < 0.03) frames.push(unnamed);
    }
    if (!code || next() < 0.22) {
      const length = 2 + Math.floor(next() * 5);
      let at = code ? 0 : 8;
      for (let level = 0; level < length; level++) {
        frames.push(kernel[at]!);
        at = Math.min(kernel.length - 1, at + 1 + pick(3));
      }
    }
    const marked = code !== undefined && next() < 0.015;
    if (marked) frames.splice(0, 2, markers[pick(2)]!);
    const count = 1 + Math.floor(next() ** 3 * (variety > 1 ? 2 : 30));
    if (marked) cut += count;
    stacks.push(Uint32Array.from(frames).reverse());
    process.push(who);
    labels.push(labelsOf(who));
    counts.push(count);
    total += count;
  }
  const zeros = new Uint32Array(stacks.length);
  return {
    startTime: unixTime(BigInt(options.startMs ?? 1_790_000_000_000) * 1_000_000n),
    duration: nanoseconds((options.seconds ?? 30) * 1e9),
    period: nanoseconds(10_101_010),
    mappings,
    functions,
    locations,
    stacks,
    processes,
    threads: [''],
    labelSets,
    samples: {
      length: stacks.length,
      process: Uint32Array.from(process),
      thread: zeros,
      stack: Uint32Array.from(stacks.keys()),
      count: Uint32Array.from(counts),
      labels: Uint32Array.from(labels),
    },
    tally: {
      taken: total + 7,
      exported: total,
      lost: { ring_full: 7 },
      truncated: { no_unwind_table: cut },
      deferred: { process_not_known: 18 },
      framesNamed: total * 14,
      framesUnnamed: Math.round(total * 0.1),
      labelsLost: {},
      eventsLost: {},
      problems: {},
      timingMs: {},
    },
    host: 'web-1',
  };
}
