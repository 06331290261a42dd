/** The inhabitants of the zoo: what each tries is said in its program. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';

/** What a trick may need to know of where it runs. */
export interface Surroundings {
  /** Of the programs. */
  readonly folder: string;
  /** Of the agent's page. */
  readonly port: number;
  /** A file that only root may read, with a name for code of the trick. */
  readonly secretMap: string;
  /** A process of root that runs code without a map. */
  readonly victimPid: number;
}

export interface Trick {
  readonly name: string;
  /** Its program; the same as the name unless said. */
  readonly program?: string;
  /** After the seconds. */
  readonly arguments?: (surroundings: Surroundings) => readonly string[];
  /** It needs what an unprivileged user may not do. */
  readonly asRoot?: boolean;
}

const garbage =
  (kind: RegExp) =>
  ({ folder }: Surroundings): string[] =>
    readdirSync(join(folder, 'garbage'))
      .filter((name) => kind.test(name))
      .map((name) => join(folder, 'garbage', name));

export const TRICKS: readonly Trick[] = [
  { name: 'mappings' },
  { name: 'huge-map' },
  { name: 'rewritten-map' },
  { name: 'endless-map' },
  { name: 'many-maps' },
  { name: 'rewritten-code' },
  { name: 'secret-map', arguments: ({ secretMap }) => [secretMap, 'link'] },
  { name: 'fifo-map', program: 'secret-map', arguments: () => ['none', 'fifo'] },
  { name: 'foreign-map', arguments: ({ victimPid }) => [String(victimPid)] },
  { name: 'sparse-elf' },
  { name: 'truncated' },
  { name: 'in-place' },
  { name: 'unnamed' },
  { name: 'dlopen-loop' },
  { name: 'many-files' },
  { name: 'elf-tables', program: 'run-files', arguments: garbage(/^(sec|seg|siz|rul|not|sym)/) },
  { name: 'elf-debug', program: 'run-files', arguments: garbage(/^(bomb|circle|ref|lines)/) },
  { name: 'elf-damaged', program: 'run-files', arguments: garbage(/^damaged/) },
  { name: 'go-alike' },
  { name: 'fork-storm' },
  { name: 'exec-storm' },
  { name: 'environment' },
  { name: 'clones' },
  { name: 'threads' },
  { name: 'map-lock' },
  { name: 'names' },
  { name: 'deep' },
  { name: 'signal-storm' },
  { name: 'wild-stack' },
  { name: 'invented-callers' },
  { name: 'contexts' },
  { name: 'stalled-memory', asRoot: true },
  {
    name: 'dead-files',
    arguments: ({ folder }) => [join(folder, 'faulty-fs'), join(folder, 'deep')],
    asRoot: true,
  },
  { name: 'pull', arguments: ({ port }) => [String(port)] },
];
