/** The other files that a file's DWARF refers to: supplement, split files, their package. */
import { dirname } from 'node:path';
import { parseAlternateLink, parseSupplementLink, type SupplementLink } from '../elf/debug-link.ts';
import type { DebugCompanions, DebugSections, SplitUnit } from '../elf/dwarf/sections.ts';
import { directAccess } from '../elf/file-access.ts';
import { DebugFile } from './debug-file.ts';
import type { FileRoots } from './file-roots.ts';
import { packagePaths, splitPaths, supplementPaths } from './paths.ts';
import type { SectionContext } from './section-file.ts';

/** Each takes a descriptor. An unstripped build of a large program has thousands of units, but few occur. */
const MAX_SPLIT_FILES = 512;

export interface CompanionContext extends SectionContext {
  readonly roots: FileRoots;
  /** Asks the debuginfod servers. */
  readonly download: (buildId: string) => number | 'pending' | undefined;
}

export class Companions implements DebugCompanions {
  readonly #holder: DebugFile;
  readonly #binaryPath: string;
  readonly #context: CompanionContext;
  readonly #split = new Map<string, DebugFile | undefined>();
  readonly #refuse = (reason: string): void => this.#context.problems.count(reason);
  #supplement: DebugFile | undefined;
  #package: DebugFile | undefined;

  private constructor(holder: DebugFile, binaryPath: string, context: CompanionContext) {
    this.#holder = holder;
    this.#binaryPath = binaryPath;
    this.#context = context;
  }

  /** Finds those that can be found before the DWARF is read. */
  static async of(
    holder: DebugFile,
    binaryPath: string,
    context: CompanionContext,
  ): Promise<Companions> {
    const companions = new Companions(holder, binaryPath, context);
    companions.#supplement = companions.#findSupplement();
    companions.#package = companions.#findPackage();
    await companions.#supplement?.sections.prepare();
    await companions.#package?.sections.prepare();
    return companions;
  }

  supplement(): DebugSections | undefined {
    return this.#supplement?.sections;
  }

  package(): DebugSections | undefined {
    return this.#package?.sections;
  }

  split(unit: SplitUnit): DebugSections | undefined {
    const { name, compilationDirectory } = unit;
    if (name === '') return undefined;
    const key = `${compilationDirectory}\0${name}`;
    if (!this.#split.has(key)) this.#split.set(key, this.#findSplit(name, compilationDirectory));
    return this.#split.get(key)?.sections;
  }

  close(): void {
    for (const file of [this.#supplement, this.#package, ...this.#split.values()]) file?.close();
  }

  #findSupplement(): DebugFile | undefined {
    const { roots, problems, download } = this.#context;
    const link = problems.guard(() => supplementLink(this.#holder));
    if (!link) return undefined;
    const isRight = (file: DebugFile) => this.#isSupplement(file, link.id);
    for (const { fd, path } of roots.find(
      supplementPaths(this.#holder.path || this.#binaryPath, link.path, link.id),
      this.#refuse,
    )) {
      const file = this.#open(fd, path, isRight, 'debug_supplement_id');
      if (file) return file;
    }
    const downloaded = download(link.id);
    if (downloaded === 'pending') return undefined;
    if (downloaded !== undefined) {
      const file = this.#open(downloaded, '', isRight, 'debug_supplement_id', directAccess);
      if (file) return file;
    }
    problems.count('debug_supplement_missing');
    return undefined;
  }

  #isSupplement(file: DebugFile, id: string): boolean {
    if (file.image.buildId === id) return true;
    const section = file.sections.section('.debug_sup');
    const own = section && parseSupplementLink(section);
    // Whoever links to the supplement has its id too.
    return own !== undefined && own.path === '' && own.id === id;
  }

  #findPackage(): DebugFile | undefined {
    const files = [this.#binaryPath, this.#holder.path].filter((path) => path !== '');
    for (const { fd, path } of this.#context.roots.find(packagePaths(files), this.#refuse)) {
      const file = this.#open(fd, path, isPackage, 'debug_package');
      if (file) return file;
    }
    return undefined;
  }

  #findSplit(name: string, compilationDirectory: string): DebugFile | undefined {
    const { roots, problems } = this.#context;
    if (this.#split.size >= MAX_SPLIT_FILES) {
      problems.count('debug_split_limit');
      return undefined;
    }
    const folders = [this.#binaryPath, this.#holder.path]
      .filter((path) => path !== '')
      .map((path) => dirname(path));
    for (const { fd, path } of roots.find(
      splitPaths(name, compilationDirectory, folders),
      this.#refuse,
    )) {
      const file = this.#open(fd, path, isSplit, 'debug_split');
      if (file) return file;
    }
    problems.count('debug_split_missing');
    return undefined;
  }

  #open(
    fd: number,
    path: string,
    isRight: (file: DebugFile) => boolean,
    reason: string,
    files = this.#context.roots.files,
  ): DebugFile | undefined {
    const { problems } = this.#context;
    return problems.guard(() => {
      const file = DebugFile.open(fd, path, this.#context, files);
      if (problems.guard(() => isRight(file))) return file;
      problems.count(reason);
      file.close();
      return undefined;
    });
  }
}

const isSplit = ({ image }: DebugFile): boolean => image.section('.debug_info.dwo') !== undefined;
const isPackage = ({ image }: DebugFile): boolean => image.section('.debug_cu_index') !== undefined;

function supplementLink({ sections }: DebugFile): SupplementLink | undefined {
  const alternate = sections.section('.gnu_debugaltlink');
  if (alternate) return parseAlternateLink(alternate);
  const section = sections.section('.debug_sup');
  const link = section && parseSupplementLink(section);
  return link?.path === '' ? undefined : link;
}
