/**
 * Debian kernels of several releases, fetched through apt by package name: a
 * scratch apt root per release with the mirror that this machine uses itself.
 * Cached in build/kernels until that folder is removed.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { REPOSITORY } from '../harness/programs.ts';

export const CACHE = join(REPOSITORY, 'build', 'kernels');
/** The kernel for virtual machines: boots under qemu without loading modules. */
const PACKAGE = 'linux-image-cloud-amd64';
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';

/** What booted: `bookworm` → `6.1.0-56-cloud-amd64` and its bzImage. */
export interface KernelImage {
  readonly release: string;
  readonly path: string;
}

function run(command: string, args: readonly string[], cwd?: string): string {
  try {
    return execFileSync(command, args, {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
      ...(cwd === undefined ? {} : { cwd }),
    });
  } catch (cause) {
    const words = (cause as { stderr?: string }).stderr ?? '';
    throw new Error(`${command} ${args.join(' ')}: ${words.slice(-2000)}`, { cause });
  }
}

/** @throws Error when apt's lists know no Debian mirror */
function debianMirror(): string {
  const format = '$(CREATED_BY)|$(LABEL)|$(COMPONENT)|$(REPO_URI)';
  const targets = run('apt-get', ['indextargets', '--format', format]).split('\n');
  const found = targets
    .map((line) => line.split('|'))
    .find(
      ([by, label, component]) => by === 'Packages' && label === 'Debian' && component === 'main',
    );
  if (!found?.[3])
    throw new Error('apt knows no Debian mirror; is this Debian, after apt-get update?');
  return found[3];
}

/** Options that keep apt away from the machine's own lists, and its proxy settings in force. */
function aptOptions(root: string): string[] {
  const settings: Readonly<Record<string, string>> = {
    'Dir::Etc::sourcelist': join(root, 'sources.list'),
    'Dir::Etc::sourceparts': '/dev/null',
    'Dir::Etc::preferences': '/dev/null',
    'Dir::Etc::preferencesparts': '/dev/null',
    'Dir::State': join(root, 'state'),
    'Dir::State::status': '/dev/null',
    'Dir::Cache': join(root, 'cache'),
    'Acquire::Languages': 'none',
    // A mirror that stands still is good enough to fetch something to boot once; it is signed.
    'Acquire::Check-Valid-Until': 'false',
    'APT::Sandbox::User': 'root',
  };
  return Object.entries(settings).map(([name, value]) => `-o${name}=${value}`);
}

/** From Linux 7 on the old name only depends on the package with the image. */
function imagePackages(options: readonly string[]): string[] {
  const args = [...options, 'depends', '--recurse', '--important', PACKAGE];
  const names = run('apt-cache', args)
    .split('\n')
    .filter((line) => /^linux-(image|binary)-\d\S*-cloud-amd64$/.test(line));
  return [...new Set(names)];
}

/** In /boot, or from Linux 7 on beside the modules. */
function findImage(files: string): KernelImage | undefined {
  for (const path of readdirSync(files, { recursive: true, encoding: 'utf8' })) {
    const release = /(?:^boot\/vmlinuz-|lib\/modules\/)([^/]+?)(?:\/vmlinuz)?$/.exec(path)?.[1];
    if (release && path.includes('vmlinuz')) return { release, path: join(files, path) };
  }
  return undefined;
}

function cachedImage(folder: string): KernelImage | undefined {
  const name = existsSync(folder) && readdirSync(folder).find((one) => one.startsWith('vmlinuz-'));
  return name ? { release: name.slice('vmlinuz-'.length), path: join(folder, name) } : undefined;
}

/**
 * The kernel of a Debian release, such as `bookworm` or `trixie-backports`.
 * @throws Error that names the package and the release when it cannot be had
 */
export function fetchKernel(suite: string): KernelImage {
  const folder = join(CACHE, suite);
  const cached = cachedImage(folder);
  if (cached) return cached;
  const root = join(CACHE, `apt-${suite}`);
  rmSync(root, { recursive: true, force: true });
  for (const part of ['state/lists/partial', 'cache/archives/partial', 'packages']) {
    mkdirSync(join(root, part), { recursive: true });
  }
  try {
    const signed = existsSync(KEYRING) ? ` [signed-by=${KEYRING}]` : '';
    writeFileSync(join(root, 'sources.list'), `deb${signed} ${debianMirror()} ${suite} main\n`);
    const options = aptOptions(root);
    run('apt-get', [...options, '-q', 'update']);
    const packages = imagePackages(options);
    if (packages.length === 0) throw new Error(`no package ${PACKAGE} there`);
    const debs = join(root, 'packages');
    run('apt-get', [...options, '-q', 'download', ...packages], debs);
    for (const deb of readdirSync(debs)) run('dpkg-deb', ['-x', deb, 'files'], debs);
    const image = findImage(join(debs, 'files'));
    if (!image) throw new Error(`no kernel image in ${packages.join(', ')}`);
    mkdirSync(folder, { recursive: true });
    renameSync(image.path, join(folder, `vmlinuz-${image.release}`));
  } catch (cause) {
    throw new Error(`cannot get ${PACKAGE} of Debian ${suite}: ${(cause as Error).message}`, {
      cause,
    });
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
  const image = cachedImage(folder);
  if (!image) throw new Error(`${folder} holds no kernel`);
  return image;
}
