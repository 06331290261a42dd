/** A virtual machine that boots a kernel, runs init.sh on flametap itself and hands back what it wrote. */
import { execFileSync, spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { findCommand } from '../../scripts/system-packages.mjs';
import { buildProgram, REPOSITORY } from '../harness/programs.ts';
import { execute } from '../harness/record.ts';

const QEMU = 'qemu-system-x86_64';
/** qemu 7.2 now and then leaves garbage in the flags around cmpxchg16b, and the kernel oopses. */
const CPU = 'max,-cx16';
/** Emulated: nested KVM is not to be had everywhere. */
const BOOT_LIMIT_MS = 570_000;

/** What one guest left behind. */
export interface GuestResult {
  /** What the kernel calls itself. */
  readonly release: string;
  /** Text of a file in the guest's /out, '' when there is none. */
  read(name: string): string;
  /** Bytes of a file in the guest's /out, empty when there is none. */
  bytes(name: string): Buffer;
  /** Exit code of a step of init.sh, NaN when it did not run. */
  code(step: string): number;
  readonly seconds: number;
}

/** Shared libraries of a program or addon; none for static ones. */
function libraries(file: string): string[] {
  const { stdout } = spawnSync('ldd', [file], { encoding: 'utf8' });
  return [...(stdout ?? '').matchAll(/(\/\S+) \(0x/g)].map((match) => match[1]!);
}

function inspector(folder: string): string {
  const program = join(folder, 'inspect');
  const source = join(import.meta.dirname, 'inspect.c');
  execFileSync('gcc', [
    '-O2',
    '-Wall',
    '-Werror',
    source,
    '-o',
    program,
    '-l:libbpf.a',
    '-lelf',
    '-lz',
  ]);
  return program;
}

/**
 * Builds the guests' file system: flametap as installed, the test's programs and
 * their libraries. @returns path of the archive, inside `folder`
 */
export function buildInitramfs(folder: string): string {
  const busybox = findCommand('busybox');
  if (busybox === undefined) throw new Error('busybox is not installed');
  const root = join(folder, 'root');
  for (const name of ['bin', 'dev', 'out', 'proc', 'sys', 'tmp', 'test']) {
    mkdirSync(join(root, name), { recursive: true });
  }
  const put = (from: string, to: string) => {
    mkdirSync(dirname(join(root, to)), { recursive: true });
    copyFileSync(realpathSync(from), join(root, to));
    for (const library of libraries(from)) {
      if (!existsSync(join(root, library))) put(library, library);
    }
  };
  put(busybox, '/bin/busybox');
  put(join(import.meta.dirname, 'init.sh'), '/init');
  for (const script of ['workload.sh', 'hotplug.sh'])
    put(join(import.meta.dirname, script), join('/test', script));
  put(inspector(folder), '/test/inspect');
  put(buildProgram('chain'), '/test/chain');
  put(buildProgram('kernel-time'), '/test/kernel-time');
  put(buildProgram('process-context'), '/test/process-context');
  put(buildProgram('swallow'), '/test/swallow');
  const bundles = readdirSync(join(REPOSITORY, 'dist')).filter((file) => file.endsWith('.cjs'));
  for (const file of ['flametap', ...bundles.map((name) => join('dist', name)), 'build/node']) {
    put(join(REPOSITORY, file), join('/flametap', file));
  }
  for (const file of ['build/flametap.node', 'build/flametap.bpf.o', 'package.json']) {
    put(join(REPOSITORY, file), join('/flametap', file));
  }
  execFileSync('chmod', ['+x', join(root, 'init')]);
  // Not compressed: decompressing Node takes an emulated CPU longer than reading it.
  const archive = join(folder, 'initramfs');
  const pack = `find . | '${busybox}' cpio -o -H newc > '${archive}'`;
  execFileSync('sh', ['-c', pack], { cwd: root, stdio: ['ignore', 'ignore', 'pipe'] });
  rmSync(root, { recursive: true });
  return archive;
}

/** The kernel ended before process 1 began: nothing of ours had run yet. */
class BootFailure extends Error {}

/**
 * Boots `kernel` and waits until it powers off; once more when the emulator let
 * it crash before process 1, where nothing under test has run.
 * @throws Error with the end of the console when the guest wrote nothing
 */
export async function bootGuest(kernel: string, initramfs: string): Promise<GuestResult> {
  try {
    return await bootOnce(kernel, initramfs);
  } catch (error) {
    if (!(error instanceof BootFailure)) throw error;
    return bootOnce(kernel, initramfs);
  }
}

async function bootOnce(kernel: string, initramfs: string): Promise<GuestResult> {
  const folder = mkdtempSync(join(tmpdir(), 'guest-'));
  const start = performance.now();
  try {
    const [console, output] = [join(folder, 'console'), join(folder, 'out.tar')];
    const finished = await execute(
      [
        ...[QEMU, '-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'],
        ...['-machine', 'pc', '-accel', 'tcg,thread=single', '-cpu', CPU, '-smp', '2,maxcpus=16'],
        ...['-m', '1280', '-kernel', kernel, '-initrd', initramfs],
        ...['-append', 'console=ttyS0 panic=-1 loglevel=4 random.trust_cpu=on mitigations=off'],
        ...['-serial', `file:${console}`, '-serial', `file:${output}`],
      ],
      {},
      BOOT_LIMIT_MS,
    );
    const files = join(folder, 'out');
    mkdirSync(files);
    const unpacked = spawnSync('tar', ['-xf', output, '-C', files], { encoding: 'utf8' });
    if (!existsSync(join(files, 'release'))) {
      const words = existsSync(console) ? readFileSync(console, 'utf8') : '';
      const Failure = words.includes('process 1 runs') ? Error : BootFailure;
      throw new Failure(
        `${basename(kernel)} gave no results: qemu ${finished.code} ${finished.stderr} ${unpacked.stderr}\n${words.slice(-3000)}`,
      );
    }
    const contents = new Map(
      readdirSync(files).map((name) => [name, readFileSync(join(files, name))]),
    );
    const bytes = (name: string): Buffer => contents.get(name) ?? Buffer.alloc(0);
    return {
      release: bytes('release').toString().trim(),
      bytes,
      read: (name) => bytes(name).toString(),
      code: (step) => Number.parseInt(bytes(`${step}.code`).toString(), 10),
      seconds: (performance.now() - start) / 1000,
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
