/**
 * Builds the programs of test/programs on demand. A build is cached in
 * build/test-programs under a hash of everything that went into it.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';

export const REPOSITORY = join(import.meta.dirname, '..', '..');
const SOURCES = join(REPOSITORY, 'test', 'programs');
const CACHE = join(REPOSITORY, 'build', 'test-programs');

/** How a C or C++ program is to be built; the defaults are what a distribution does. */
export interface Variant {
  readonly optimize?: 0 | 1 | 2 | 3;
  /** Default false: rbp is an ordinary register. */
  readonly framePointers?: boolean;
  /** Default true. */
  readonly pie?: boolean;
  /** Default 'dynamic'. */
  readonly libc?: 'dynamic' | 'static' | 'static-musl';
  /** `debug_frame`: rules only where a debugger looks for them. */
  readonly rules?: 'eh_frame' | 'debug_frame';
  /** Default false: no .symtab. */
  readonly stripped?: boolean;
  /** Default false: no debug information. */
  readonly debugInfo?: boolean;
}

interface Recipe {
  readonly source: string;
  readonly flags?: readonly string[];
  /** Built first, into the same folder: file name → source. */
  readonly libraries?: Readonly<Record<string, string>>;
}

const RECIPES: Readonly<Record<string, Recipe>> = {
  chain: { source: 'chain.c', flags: ['-pthread'] },
  recurse: { source: 'recurse.c' },
  signals: { source: 'signals.c' },
  latelib: { source: 'latelib.c', flags: ['-ldl'], libraries: { 'plugin.so': 'plugin.c' } },
  stubs: {
    source: 'stubs.c',
    flags: ['-Wl,-z,lazy', '-Wl,-rpath,$ORIGIN', '-L.', '-l:libstubs.so'],
    libraries: { 'libstubs.so': 'stubs-library.c' },
  },
  vdso: { source: 'vdso.c' },
  frames: { source: 'frames.c' },
  // -mavx512f would let GCC keep 64-byte vectors in registers; AVX is enough to align the frame
  'frames-avx': { source: 'frames.c', flags: ['-mavx'] },
  clones: { source: 'clones.c' },
  brief: { source: 'brief.c' },
  pieces: { source: 'pieces.c' },
  jit: { source: 'jit.c' },
  swallow: { source: 'swallow.c', flags: ['-l:libbpf.a', '-lelf', '-lz'] },
  sleeper: { source: 'sleeper.c' },
  'late-forks': { source: 'late-forks.c' },
  'vfork-loop': { source: 'vfork-loop.c' },
  'faulty-fs': { source: 'faulty-fs.c' },
  'process-context': { source: 'process-context.c' },
  'kernel-time': { source: 'kernel-time.c' },
  shapes: { source: 'shapes.cc' },
  'self-dump': { source: 'self-dump.c' },
  crab: { source: 'crab.rs' },
  inlined: { source: 'inlined.cc' },
  'inlined-rs': { source: 'inlined.rs' },
  'far-text': {
    source: 'far-text.c',
    // two text segments 2.5 GiB apart, the rules between them so that 32-bit offsets reach both
    flags: [
      '-mcmodel=large',
      '-no-pie',
      '-fno-pie',
      '-Wl,--section-start=.eh_frame_hdr=0x4ff00000',
      '-Wl,--section-start=.eh_frame=0x50000000',
      '-Wl,--section-start=.far=0xa0400000',
    ],
  },
  // Symbols as a binary of Node exports them.
  'fake-v8': { source: 'node-context/fake-v8.c', flags: ['-rdynamic'] },
  'deep-go': { source: 'deep-go/main.go' },
};

export type ProgramName = keyof typeof RECIPES & string;

function compilerFlags(variant: Variant): string[] {
  const flags = [`-O${variant.optimize ?? 2}`, '-Wall', '-Wno-psabi', '-fno-stack-protector'];
  flags.push(variant.framePointers ? '-fno-omit-frame-pointer' : '-fomit-frame-pointer');
  if (variant.rules === 'debug_frame') {
    flags.push('-g', '-fno-asynchronous-unwind-tables', '-fno-unwind-tables');
  }
  const isStatic = variant.libc === 'static' || variant.libc === 'static-musl';
  if (isStatic) flags.push(variant.pie ? '-static-pie' : '-static');
  else if (variant.pie === false) flags.push('-no-pie', '-fno-pie');
  else flags.push('-pie', '-fPIE');
  if (variant.stripped) flags.push('-s');
  if (variant.debugInfo) flags.push('-g');
  return flags;
}

/** std::hint::black_box is stable from Rust 1.66 on; Debian 12 has 1.63. */
export function blackBoxFlags(): string[] {
  const version = execFileSync('rustc', ['--version'], { encoding: 'utf8' });
  const isOld = Number(/^rustc 1\.(\d+)/.exec(version)?.[1]) < 66;
  return isOld ? ['-Zcrate-attr=feature(bench_black_box)'] : [];
}

function command(source: string, variant: Variant): { tool: string; flags: string[] } {
  if (source.endsWith('.go')) return { tool: 'go', flags: ['build', '-trimpath'] };
  if (source.endsWith('.rs')) {
    const flags = ['-C', `opt-level=${variant.optimize ?? 2}`, ...blackBoxFlags()];
    if (variant.debugInfo) flags.push('-g');
    return { tool: 'rustc', flags };
  }
  const tool = source.endsWith('.cc') ? 'g++' : variant.libc === 'static-musl' ? 'musl-gcc' : 'gcc';
  return { tool, flags: compilerFlags(variant) };
}

function run(tool: string, args: readonly string[], cwd: string): void {
  try {
    // Without it no released rustc takes flags that begin with -Z.
    const env = { ...process.env, RUSTC_BOOTSTRAP: '1' };
    execFileSync(tool, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
  } catch (error) {
    const output = (error as { stderr?: Buffer }).stderr?.toString() ?? '';
    throw new Error(`building a test program failed: ${tool} ${args.join(' ')}\n${output}`, {
      cause: error,
    });
  }
}

/**
 * Path of the program `name`, built as `variant` says; its file name is `name`,
 * and so is its comm.
 * @throws Error with the compiler's output when it does not build.
 */
export function buildProgram(name: ProgramName, variant: Variant = {}): string {
  const recipe = RECIPES[name];
  if (recipe === undefined) throw new Error(`no test program is called ${name}`);
  const { tool, flags } = command(recipe.source, variant);
  const hash = createHash('sha256');
  const inputs = [recipe.source, 'report.h', ...Object.values(recipe.libraries ?? {})];
  for (const input of inputs) hash.update(readFileSync(join(SOURCES, input)));
  hash.update(JSON.stringify([tool, flags, recipe.flags, recipe.libraries]));
  hash.update(execFileSync(tool, [tool === 'go' ? 'version' : '--version']));
  const folder = join(CACHE, `${name}-${hash.digest('hex').slice(0, 16)}`);
  const path = join(folder, name);
  if (existsSync(path)) return path;

  // Built beside and renamed, so that a build cut short leaves nothing that looks finished.
  const draft = `${folder}.${process.pid}`;
  mkdirSync(draft, { recursive: true });
  try {
    for (const [file, source] of Object.entries(recipe.libraries ?? {})) {
      const shared = ['-shared', '-fPIC', '-O2', '-fomit-frame-pointer', '-o', file];
      run('gcc', [...shared, join(SOURCES, source)], draft);
    }
    const source = join(SOURCES, recipe.source);
    const extra = recipe.flags ?? [];
    if (tool === 'go') run(tool, [...flags, '-o', join(draft, name), source], draft);
    else run(tool, [...flags, '-o', name, source, ...extra], draft);
    try {
      renameSync(draft, folder);
    } catch (error) {
      if (!existsSync(path)) throw error; // else another process was faster: same content
    }
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
  return path;
}

/** Names of all programs, for tests of the builder. */
export const programNames = (): ProgramName[] => Object.keys(RECIPES);

/** What a program reported about itself (see test/programs/report.h). */
export interface ProgramReport {
  readonly program: string;
  readonly pid: number;
  /** User and system time of all its threads. */
  readonly cpuNs: number;
  /** Context switches: each adds up to one tick of noise to a sample count. */
  readonly switches: number;
  /** Function names, outermost first; `<...>` stands for what has no fixed name. */
  readonly chains: readonly (readonly string[])[];
}

/** Parses the lines that test programs append to the file named by TEST_REPORT. */
export function readReports(path: string): ProgramReport[] {
  if (!existsSync(path)) return [];
  const reports: ProgramReport[] = [];
  for (const line of readFileSync(path, 'utf8').split('\n')) {
    if (!line.startsWith('{')) continue;
    const raw = JSON.parse(line) as {
      program: string;
      pid: number;
      cpu_ns: number;
      switches: number;
      chains: string[][];
    };
    reports.push({
      program: raw.program,
      pid: raw.pid,
      cpuNs: raw.cpu_ns,
      switches: raw.switches,
      chains: raw.chains,
    });
  }
  return reports;
}
