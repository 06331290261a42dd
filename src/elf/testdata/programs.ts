/** Programs that tests compile. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FileSource } from '../file-source.ts';
import { ElfImage } from '../image.ts';

/** A directory that is gone after the tests of a file. */
export function scratchDirectory(): { path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), 'flametap-elf-'));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

/** Compiles C text into `directory` and returns the path of the program. */
export function compile(
  directory: string,
  name: string,
  source: string,
  options: readonly string[],
  compiler = 'gcc',
): string {
  const input = join(directory, `${name}.c`);
  const output = join(directory, name);
  writeFileSync(input, source);
  execFileSync(compiler, ['-o', output, input, ...options], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  return output;
}

export function openImage(path: string): ElfImage {
  return ElfImage.parse(new FileSource(openSync(path, 'r')));
}
