/** For tests: programs built with the installed Go, opened. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GoFunctions } from './go-functions.ts';
import { GoRules } from './go-rules.ts';
import { ElfImage } from './image.ts';
import { MemorySource } from './source.ts';

const SELF = new URL('../../test/programs/go-self', import.meta.url).pathname;

export interface GoBuild {
  readonly mode?: 'exe' | 'pie' | 'c-shared';
  readonly stripped?: boolean;
  /** Linked by the C linker, with cgo. */
  readonly external?: boolean;
}

export interface OpenedGo {
  readonly image: ElfImage;
  readonly functions: GoFunctions;
  readonly rules: GoRules;
}

/** A directory that is removed when the test process ends. */
export function temporaryDirectory(): string {
  const path = mkdtempSync(join(tmpdir(), 'flametap-go-'));
  process.on('exit', () => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** Builds test/programs/go-self; Go's own cache makes repeats quick. */
export function buildGoSelf(directory: string, build: GoBuild = {}): string {
  const { mode = 'exe', stripped = false, external = mode === 'c-shared' } = build;
  const path = join(directory, `${mode}-${stripped}-${external}`);
  const flags = ['-checklinkname=0'];
  if (stripped) flags.push('-s', '-w');
  if (external) flags.push('-linkmode=external');
  execFileSync('go', ['build', `-buildmode=${mode}`, `-ldflags=${flags.join(' ')}`, '-o', path], {
    cwd: SELF,
    env: { ...process.env, CGO_ENABLED: external ? '1' : '0', GOFLAGS: '-buildvcs=false' },
    stdio: 'pipe', // the linker's warnings; an error carries them
  });
  return path;
}

export function openGo(path: string): OpenedGo {
  return openGoBytes(readFileSync(path));
}

export function openGoBytes(bytes: Uint8Array): OpenedGo {
  const image = ElfImage.parse(new MemorySource(bytes));
  const functions = GoFunctions.open(image);
  if (functions === undefined) throw new Error('not a Go binary');
  return { image, functions, rules: new GoRules(functions) };
}

/** What the runtime of a go-self program says about one address of its own text. */
export interface RuntimeFact {
  /** Address in the file. */
  readonly address: number;
  readonly depth: number;
  readonly entry: number;
  readonly line: number;
  readonly startLine: number;
  readonly file: string;
  readonly name: string;
}

export function runtimeFacts(path: string, textStart: number, count: number): RuntimeFact[] {
  const output = execFileSync(path, ['tables', String(count), '20261121'], {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  const lines = output.trim().split('\n');
  const slide = Number(lines[0]!.split(' ')[0]) - textStart;
  return lines.slice(1).map((line) => {
    const [pc, depth, entry, at, startLine, file, name] = line.split('\t');
    return {
      address: Number(pc) - slide,
      depth: Number(depth),
      entry: Number(entry) - slide,
      line: Number(at),
      startLine: Number(startLine),
      file: file!,
      name: name!,
    };
  });
}
