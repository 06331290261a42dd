/** Builds the tricks and the ordinary loads; a build is kept under a hash of what went into it. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { join } from 'node:path';
import { REPOSITORY } from '../harness/programs.ts';
import { writeGarbage } from './elf-garbage.ts';

const ZOO = import.meta.dirname;
const TRICKS = join(ZOO, 'tricks');
const LOADS = join(ZOO, 'loads');
/** Of what is random in the files that lie. */
export const GARBAGE_SEED = 20261130;
/** Serves files that hang. */
const FAULTY_FS = join(REPOSITORY, 'test', 'programs', 'faulty-fs.c');
const CACHE = join(REPOSITORY, 'build', 'zoo');

const COMMON = ['-O1', '-Wall', '-fno-stack-protector', '-pthread'];
/** So that the record of a thread's context is found. */
const CONTEXT = '-Wl,--export-dynamic-symbol=otel_thread_ctx_v1';

function build(): string {
  const hash = createHash('sha256').update(COMMON.join(' '));
  const sources = readdirSync(TRICKS).filter((name) => name.endsWith('.c'));
  for (const name of readdirSync(TRICKS)) hash.update(readFileSync(join(TRICKS, name)));
  hash.update(readFileSync(FAULTY_FS));
  for (const name of [
    'loads/steady.c',
    'loads/steady.ts',
    'loads/steady-go/main.go',
    'elf-garbage.ts',
  ]) {
    hash.update(readFileSync(join(ZOO, name)));
  }
  const folder = join(CACHE, hash.digest('hex').slice(0, 16));
  if (existsSync(folder)) return folder;
  const draft = `${folder}.${process.pid}`;
  mkdirSync(draft, { recursive: true });
  const run = (tool: string, ...args: string[]) => execFileSync(tool, args, { stdio: 'pipe' });
  for (const source of sources) {
    const name = source.slice(0, -'.c'.length);
    const isLibrary = name === 'plugin';
    const output = join(draft, isLibrary ? 'plugin.so' : name);
    const extra = isLibrary
      ? ['-shared', '-fPIC']
      : name === 'sparse-elf'
        ? ['-static', '-Wl,--build-id=none']
        : ['-ldl', CONTEXT];
    run('gcc', ...COMMON, '-o', output, join(TRICKS, source), ...extra);
  }
  run('gcc', ...COMMON, CONTEXT, '-o', join(draft, 'steady'), join(LOADS, 'steady.c'));
  run('gcc', ...COMMON, '-o', join(draft, 'faulty-fs'), FAULTY_FS);
  const go = join(draft, 'steady-go');
  run('go', 'build', '-trimpath', '-o', go, join(LOADS, 'steady-go', 'main.go'));
  copyFileSync(join(LOADS, 'steady.ts'), join(draft, 'steady.ts'));
  mkdirSync(join(draft, 'garbage'));
  writeGarbage(join(draft, 'garbage'), join(draft, 'plugin.so'), GARBAGE_SEED);
  try {
    renameSync(draft, folder);
  } catch (error) {
    if (!existsSync(folder)) throw error; // else another process was faster: same content
    rmSync(draft, { recursive: true });
  }
  return folder;
}

/** Copies all programs to where everybody may run them. @throws Error with the compiler's output */
export function installPrograms(folder: string): void {
  const from = build();
  cpSync(from, folder, { recursive: true });
}
