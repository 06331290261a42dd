/** For tests: what Go itself says about addresses of a binary. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, renameSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { virtualAddress } from '../units/units.ts';
import type { GoFunctions, GoLine } from './go-functions.ts';

const CHAINS = new URL('testdata/go-chains', import.meta.url).pathname;
const SEED = 20261121;

export interface ChainsBuild {
  readonly mode?: 'exe' | 'pie' | 'c-shared' | 'c-archive';
  readonly stripped?: boolean;
  /** Linked by the C linker, with cgo. */
  readonly external?: boolean;
  /** `1.16.15`: that release, which the go command fetches from the module proxy and keeps. */
  readonly release?: string;
}

/** Builds testdata/go-chains (for libraries: see buildChainsCaller too) and returns its path. */
export function buildChains(directory: string, build: ChainsBuild): string {
  const { mode = 'exe', stripped = false, release } = build;
  const external = build.external ?? mode.startsWith('c-');
  const environment = {
    ...process.env,
    CGO_ENABLED: external ? '1' : '0',
    // Settings of the machine's user may be unknown to an old release.
    GOENV: 'off',
    GOFLAGS: '',
    GOTOOLCHAIN: release === undefined ? 'local' : `go${release}`,
  };
  const go = (...options: string[]): string =>
    execFileSync('go', options, { cwd: CHAINS, env: environment, stdio: 'pipe', encoding: 'utf8' });
  const version = release ?? go('env', 'GOVERSION').trim().slice(2);
  const flags: string[] = [];
  // From this release on linkers have to be told to allow what the program asks for.
  if (Number(version.split('.')[1]) >= 23) flags.push('-checklinkname=0');
  if (stripped) flags.push('-s', '-w');
  if (external) flags.push('-linkmode=external');
  const suffix = mode === 'c-shared' ? '.so' : mode === 'c-archive' ? '.a' : '';
  const path = join(directory, `chains-${version}-${mode}-${stripped}-${external}${suffix}`);
  go('build', `-buildmode=${mode}`, `-ldflags=${flags.join(' ')}`, '-o', path);
  return path;
}

/** A file of an npm package (`name@1.2.3`), fetched once per machine; npm checks what it gets. */
export function packagedBinary(specifier: string, file: string): string {
  const folder = join(tmpdir(), 'flametap-go-binaries', specifier.replaceAll('/', '+'));
  const path = join(folder, 'package', file);
  if (existsSync(path)) return path;
  mkdirSync(folder, { recursive: true });
  const options = ['pack', specifier, '--silent', '--pack-destination', folder];
  const [archive] = execFileSync('npm', options, { encoding: 'utf8' }).trim().split('\n').slice(-1);
  const partial = join(folder, 'partial');
  mkdirSync(partial, { recursive: true });
  execFileSync('tar', ['xzf', join(folder, archive!), '-C', partial]);
  renameSync(join(partial, 'package'), join(folder, 'package'));
  return path;
}

/** A C program that hands its arguments to goChains() of a library that buildChains made. */
export function buildChainsCaller(directory: string, library: string): string {
  const path = `${library}.caller`;
  const source = join(CHAINS, 'testdata', 'caller.c');
  const links = ['-lpthread', `-Wl,-rpath,${directory}`];
  execFileSync('gcc', ['-O1', '-s', '-o', path, source, library, ...links], { stdio: 'pipe' });
  return path;
}

export interface Chain {
  readonly address: number;
  readonly lines: readonly GoLine[];
}

/**
 * What the runtime says about `count` random addresses of the text of the
 * go-chains binary whose functions these are, asked of a run of it.
 * @param run the program, `path` itself or one that has it as its library.
 */
export function runtimeChains(run: string, functions: GoFunctions, count: number): Chain[] {
  const anchor = functions.findByName('main.anchor');
  if (anchor === undefined) throw new Error('no main.anchor');
  const { start, end } = functions.text;
  const output = execFileSync(run, [anchor.start, count, SEED, start, end].map(String), {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  return output
    .trimEnd()
    .split('\n')
    .map((text) => {
      const [address, ...fields] = text.split('\t');
      const lines: GoLine[] = [];
      for (let at = 0; at + 5 <= fields.length; at += 5) {
        const [name, systemName, file, line, startLine] = fields.slice(at);
        lines.push({
          name: name!,
          systemName: systemName!,
          file: file!,
          line: Number(line),
          column: 0,
          startLine: Number(startLine),
        });
      }
      return { address: Number(address), lines };
    });
}

export interface Agreement {
  readonly compared: number;
  /** Of them, with at least one inlined call. */
  readonly inlined: number;
  readonly deepest: number;
  /** The first few, readable. */
  readonly differences: readonly string[];
  readonly different: number;
}

/** How our chains agree with the runtime's: all of name, symbol name, file, line and start line. */
export function compareChains(functions: GoFunctions, chains: readonly Chain[]): Agreement {
  const differences: string[] = [];
  let [compared, inlined, deepest, different] = [0, 0, 0, 0];
  for (const { address, lines } of chains) {
    if (lines.length === 0) continue;
    const ours = functions.lookup(virtualAddress(address)) ?? [];
    compared++;
    if (lines.length > 1) inlined++;
    deepest = Math.max(deepest, lines.length);
    const expected = withoutOldWrapper(lines).map(shown).join(' < ');
    const found = ours.map((line, at) => shown(comparable(line, lines[at]))).join(' < ');
    if (expected === found) continue;
    different++;
    if (differences.length < 10) differences.push(`${address}: ${found}, not ${expected}`);
  }
  return { compared, inlined, deepest, different, differences };
}

/** Marked `//go:wrapper`, or given the wrappers' id by name. */
const WRITTEN_WRAPPERS = new Set([
  'reflect.callMethod',
  'reflect.callReflect',
  'runtime.deferreturn',
  'runtime.runOpenDeferFrame',
]);

/**
 * Up to Go 1.20 the function that expands an address keeps a wrapper around
 * inlined calls, which runtime.Callers, where stacks come from, leaves out.
 */
function withoutOldWrapper(lines: readonly GoLine[]): readonly GoLine[] {
  const last = lines.at(-1)!;
  const isWrapper =
    last.file === '<autogenerated>' || last.name.endsWith('-fm') || WRITTEN_WRAPPERS.has(last.name);
  return last.startLine < 0 && lines.length > 1 && isWrapper ? lines.slice(0, -1) : lines;
}

/** Ours with what this release's runtime cannot say left out. */
function comparable(ours: GoLine, theirs: GoLine | undefined): GoLine {
  if (theirs === undefined) return ours;
  const file = theirs.file === '?' && ours.file === '' ? '?' : ours.file;
  // The runtime prints nothing for the one function whose name has offset 0.
  const nameless = theirs.name === '' ? { name: '', systemName: '' } : {};
  // Up to 1.20 it has no start lines, and it prints type arguments.
  const old = theirs.startLine < 0 ? { name: ours.systemName, startLine: -1 } : {};
  return { ...ours, file, ...old, ...nameless };
}

const shown = ({ name, systemName, file, line, startLine }: GoLine): string =>
  `${name} (${systemName} ${startLine}) ${file}:${line}`;

/**
 * What `go tool addr2line` of the installed release says about random addresses
 * of a binary that need not run: the name of the enclosing function, file and line
 * of the innermost call.
 */
export function compareWithAddr2line(
  path: string,
  functions: GoFunctions,
  count: number,
): Agreement {
  const { start, end } = functions.text;
  const addresses: number[] = [];
  for (const random of seeded(count)) addresses.push(start + (random % (end - start)));
  const output = execFileSync('go', ['tool', 'addr2line', path], {
    input: addresses.map((address) => `0x${address.toString(16)}\n`).join(''),
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  }).split('\n');
  const differences: string[] = [];
  let [compared, inlined, deepest, different] = [0, 0, 0, 0];
  addresses.forEach((address, index) => {
    const expected = `${output[index * 2]} ${output[index * 2 + 1]}`;
    const lines = functions.lookup(virtualAddress(address)) ?? [];
    const { file, line } = lines[0] ?? { file: '', line: 0 };
    const outermost = functions.recordAt(virtualAddress(address))!;
    const name = functions.module.table.name(outermost);
    // Padding belongs to no line.
    const found = file === '' ? `${name} :-1` : `${name} ${file}:${line}`;
    compared++;
    if (lines.length > 1) inlined++;
    deepest = Math.max(deepest, lines.length);
    if (found === expected) return;
    different++;
    if (differences.length < 10) differences.push(`${address}: ${found}, not ${expected}`);
  });
  return { compared, inlined, deepest, different, differences };
}

/** Numbers below 2^44 of Knuth's generator. */
function* seeded(count: number): Generator<number> {
  let state = BigInt(SEED);
  for (let index = 0; index < count; index++) {
    state = (state * 6364136223846793005n + 1442695040888963407n) & 0xffff_ffff_ffff_ffffn;
    yield Number(state >> 20n);
  }
}
