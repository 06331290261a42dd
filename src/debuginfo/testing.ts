/** What the tests of this folder share. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, openSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { loadAddon } from '../capture/addon.ts';
import { directAccess } from '../elf/file-access.ts';
import { LiveHost } from '../process/host.ts';
import { PATIENT_WAIT_LIMITS } from '../process/wait-budget.ts';
import { type DebugCandidate, DebugSearch, type Downloads } from './debug-search.ts';
import { type DebugFiles, FileRoots } from './file-roots.ts';

export const run = (command: string, ...args: readonly string[]): void =>
  void execFileSync(command, args, { stdio: ['ignore', 'ignore', 'pipe'] });

/** As the cache needs it. */
export const { linkFile } = loadAddon();

/** A process whose root is a folder. */
export const processRoot = (folder: string): FileRoots =>
  new FileRoots({ ...host(), openBelow: (_root, path) => openSync(join(folder, path), 'r') }, [0]);

/** Only the host. */
export const hostRoot = (): FileRoots => new FileRoots(host(), []);

function host(): DebugFiles {
  const live = new LiveHost(loadAddon(), undefined, PATIENT_WAIT_LIMITS);
  return {
    // What was opened by tests themselves is not known to a host.
    files: directAccess,
    openBelow: (root, path) => live.openBelow(root, path),
    openOnHost: (path) => live.openOnHost(path),
  };
}

/** Moves the debug information of a program to another file, as packages do; the program is stripped. */
export function separate(program: string, debug: string, ...options: readonly string[]): void {
  mkdirSync(dirname(debug), { recursive: true });
  run('objcopy', '--only-keep-debug', ...options, program, debug);
  run('objcopy', '--strip-all', `--add-gnu-debuglink=${debug}`, program);
}

export interface Searched {
  readonly search: DebugSearch;
  readonly candidates: readonly DebugCandidate[];
  readonly problems: Readonly<Record<string, number>>;
}

/** All candidates for a binary; the caller closes the search. */
export async function searchAll(
  file: string,
  path: string,
  roots: FileRoots,
  downloads?: Downloads,
  limits?: ConstructorParameters<typeof DebugSearch>[2],
  watch?: ConstructorParameters<typeof DebugSearch>[3],
): Promise<Searched> {
  const search = new DebugSearch(
    { fd: openSync(file, 'r'), path, roots },
    downloads,
    limits,
    watch,
  );
  const candidates = [];
  for await (const candidate of search.candidates()) candidates.push(candidate);
  return { search, candidates, problems: Object.fromEntries(search.problems) };
}
