/** Programs of others, from public registries, as tests use them: kept in build/published. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { REPOSITORY } from './programs.ts';

const CACHE = join(REPOSITORY, 'build', 'published');

/** Folder that `fill` has filled, once for each `key`. */
async function cached(key: string, fill: (draft: string) => void | Promise<void>): Promise<string> {
  const folder = join(CACHE, key);
  if (existsSync(folder)) return folder;
  const draft = `${folder}.${process.pid}`;
  rmSync(draft, { recursive: true, force: true });
  mkdirSync(draft, { recursive: true });
  try {
    await fill(draft);
    renameSync(draft, folder);
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
  return folder;
}

/**
 * Folder with the files of a crate.
 * @param sha256 of the archive, as the registry's index has it
 */
export function crate(name: string, version: string, sha256: string): Promise<string> {
  const title = `${name}-${version}`;
  return cached(title, (draft) => {
    const url = `https://static.crates.io/crates/${name}/${title}.crate`;
    const archive = join(draft, 'archive');
    // Not fetch: curl believes the authorities that the machine believes.
    execFileSync('curl', ['-fsSL', '--retry', '3', '-o', archive, url], { stdio: 'pipe' });
    const actual = createHash('sha256').update(readFileSync(archive)).digest('hex');
    if (actual !== sha256) throw new Error(`${url} has SHA-256 ${actual}, not ${sha256}`);
    execFileSync('tar', ['xzf', archive, '--strip-components=1', '-C', draft]);
    rmSync(archive);
  });
}

/** Folder for PYTHONPATH with what a requirements file, which has all hashes, asks for. */
export function pythonPackages(requirements: string): Promise<string> {
  const version = execFileSync('python3', ['--version']);
  const hash = createHash('sha256').update(readFileSync(requirements)).update(version);
  return cached(`python-${hash.digest('hex').slice(0, 16)}`, (draft) => {
    const args = ['--no-deps', '--no-compile', '--only-binary', ':all:', '--require-hashes'];
    const quiet = ['--quiet', '--disable-pip-version-check', '--root-user-action=ignore'];
    execFileSync(
      'python3',
      ['-m', 'pip', 'install', ...quiet, ...args, '--target', draft, '-r', requirements],
      { stdio: ['ignore', 'ignore', 'inherit'] },
    );
  });
}
