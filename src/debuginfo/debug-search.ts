/** Finds what there is to know about one binary: its own DWARF, separate debug files, downloads. */

import { BlockCache } from '../elf/block-cache.ts';
import { parseDebugLink } from '../elf/debug-link.ts';
import type { DebugCompanions, DebugSections } from '../elf/dwarf/sections.ts';
import type { FileAccess } from '../elf/file-access.ts';
import { fileFailure } from '../elf/file-source.ts';
import { ElfImage } from '../elf/image.ts';
import { MemorySource, ParseError } from '../elf/source.ts';
import { CHECKSUM_LIMITS, type ChecksumLimits, fileChecksum } from './checksum.ts';
import { type CompanionContext, Companions } from './companions.ts';
import { DebugFile, hasContents } from './debug-file.ts';
import type { FileRoots, FoundFile } from './file-roots.ts';
import { decompressXz } from './lzma.ts';
import { buildIdPaths, debugLinkPaths } from './paths.ts';
import { Problems } from './problems.ts';
import { SECTION_LIMITS, type SectionLimits } from './section-file.ts';

/** Something that names addresses of the binary. */
export interface DebugCandidate {
  /** How names of its symbol table rank, see SOURCE_QUALITY. */
  readonly kind: 'symbols' | 'separate' | 'debugdata' | 'debuginfod';
  /** Names it among the candidates of this binary, in other searches too. */
  readonly source: string;
  readonly image: ElfImage;
  /** Undefined when it has no DWARF. */
  readonly sections: DebugSections | undefined;
  readonly companions: DebugCompanions;
}

/** Where debug files come from that are not on the machine. */
export interface Downloads {
  /** False when there are no servers to ask. */
  readonly isConfigured: boolean;
  /**
   * Never waits. A descriptor, which the caller closes; `pending` while a
   * download is under way; undefined when no server has it or none answers.
   */
  request(buildId: string): number | 'pending' | undefined;
  /** Why servers did not give a file that was asked for; told once. */
  takeProblems(buildId: string): readonly string[];
}

export interface SearchedBinary {
  /** The binary; stays the caller's. */
  readonly fd: number;
  /** As its process sees it. */
  readonly path: string;
  readonly roots: FileRoots;
}

/** Whoever may end a search that costs too much learns what it was at, and leaves that out next time. */
export interface SearchWatch {
  /** Sources that are left alone. */
  readonly skipped: ReadonlySet<string>;
  /** Sources whose checksum was right before. */
  readonly trusted: ReadonlySet<string>;
  /** Called before the work on a source begins. */
  begins(source: string): void;
  /** Called when a source was summed: it need not be again. */
  summed(source: string, outcome: SumOutcome): void;
}

/** `late`: it took too long. */
export type SumOutcome = 'right' | 'wrong' | 'late';

const unwatched: SearchWatch = {
  skipped: new Set(),
  trusted: new Set(),
  begins() {},
  summed() {},
};

export interface SearchLimits {
  readonly sections: SectionLimits;
  /** Of an uncompressed `.gnu_debugdata`. */
  readonly debugdataBytes: number;
  readonly checksum: ChecksumLimits;
}

const LIMITS: SearchLimits = {
  sections: SECTION_LIMITS,
  debugdataBytes: 64 << 20,
  checksum: CHECKSUM_LIMITS,
};
/** Of 16 KiB, for all files of a binary. A DWARF parser walks a dozen sections at once. */
const CACHED_BLOCKS = 128;

const nothing: DebugCompanions = {
  supplement: () => undefined,
  split: () => undefined,
  package: () => undefined,
};

interface Separate {
  readonly file: DebugFile;
  readonly source: string;
}

export class DebugSearch {
  readonly #binary: SearchedBinary;
  readonly #own: DebugFile;
  readonly #downloads: Downloads | undefined;
  readonly #limits: SearchLimits;
  readonly #watch: SearchWatch;
  readonly #problems = new Problems();
  readonly #context: CompanionContext;
  readonly #seen = new Set<string>();
  readonly #open: { close(): void }[] = [];
  readonly #awaited = new Set<string>();
  readonly #refuse = (reason: string): void => this.#problems.count(reason);

  /** @throws ParseError when the binary is no ELF file or cannot be read */
  constructor(
    binary: SearchedBinary,
    downloads?: Downloads,
    limits: Partial<SearchLimits> = {},
    watch = unwatched,
  ) {
    this.#binary = binary;
    this.#downloads = downloads;
    this.#limits = { ...LIMITS, ...limits };
    this.#watch = watch;
    this.#context = {
      problems: this.#problems,
      cache: new BlockCache(CACHED_BLOCKS),
      limits: this.#limits.sections,
      used: { memory: 0, disk: 0 },
      roots: binary.roots,
      download: (buildId) => this.#download(buildId),
    };
    const { files } = binary.roots;
    this.#own = DebugFile.open(reopened(files, binary.fd), binary.path, this.#context, files);
    this.#open.push(this.#own);
  }

  /** What was refused, by reason; grows also while candidates are used. */
  get problems(): ReadonlyMap<string, number> {
    return this.#problems.counts;
  }

  /** Build ids that are being downloaded: when one is there, another search may find more. */
  get awaited(): ReadonlySet<string> {
    return this.#awaited;
  }

  /**
   * What there is, best first. Files are opened, and servers asked, only when
   * what came before was not enough: stop at the first with usable DWARF. All
   * can be used until close().
   */
  async *candidates(): AsyncGenerator<DebugCandidate> {
    if (this.#begins('own')) yield await this.#candidate('symbols', 'own', this.#own);
    for (const { file, source } of this.#separate()) {
      yield await this.#candidate('separate', source, file);
    }
    const downloaded = this.#begins('debuginfod') ? this.#downloaded() : undefined;
    if (downloaded) yield await this.#candidate('debuginfod', 'debuginfod', downloaded);
    if (!this.#begins('debugdata')) return;
    const image = this.#problems.guard(() => this.#debugdata());
    if (!image) return;
    yield {
      kind: 'debugdata',
      source: 'debugdata',
      image,
      sections: undefined,
      companions: nothing,
    };
  }

  close(): void {
    for (const each of this.#open.splice(0)) each.close();
  }

  #begins(source: string): boolean {
    if (this.#watch.skipped.has(source)) return false;
    this.#watch.begins(source);
    return true;
  }

  async #candidate(
    kind: DebugCandidate['kind'],
    source: string,
    file: DebugFile,
  ): Promise<DebugCandidate> {
    const { image, sections } = file;
    if (!file.hasDwarf) return { kind, source, image, sections: undefined, companions: nothing };
    await sections.prepare();
    const companions = await Companions.of(file, this.#binary.path, this.#context);
    this.#open.push(companions);
    return { kind, source, image, sections, companions };
  }

  *#separate(): Generator<Separate> {
    const { image } = this.#own;
    const { roots, path } = this.#binary;
    for (const found of roots.find(buildIdPaths(image.buildId), this.#refuse)) {
      const separate = this.#openSeparate(found, undefined);
      if (separate) yield separate;
    }
    const link = this.#problems.guard(() => {
      const section = this.#own.sections.section('.gnu_debuglink');
      return section && parseDebugLink(section);
    });
    if (!link) return;
    for (const found of roots.find(debugLinkPaths(path, link.name), this.#refuse)) {
      const separate = this.#openSeparate(found, link.checksum);
      if (separate) yield separate;
    }
  }

  /** @param checksum undefined for a file that was found by its build id */
  #openSeparate(found: FoundFile, checksum: number | undefined): Separate | undefined {
    const source = `separate:${found.version}`;
    const { files } = this.#binary.roots;
    if (this.#seen.has(found.identity) || !this.#begins(source)) {
      files.close(found.fd);
      return undefined;
    }
    this.#seen.add(found.identity);
    return this.#problems.guard(() => {
      const file = DebugFile.open(found.fd, found.path, this.#context, files);
      try {
        this.#checkBuildId(file, checksum === undefined);
        if (checksum !== undefined) this.#checkSum({ file, source }, found, checksum);
      } catch (cause) {
        file.close();
        throw cause;
      }
      this.#open.push(file);
      return { file, source };
    });
  }

  #checkBuildId({ image }: DebugFile, isNeeded: boolean): void {
    const { buildId } = this.#own.image;
    if (image.buildId === buildId) return;
    if (!isNeeded && (image.buildId === '' || buildId === '')) return;
    throw new ParseError('debug_file_build_id', `${image.buildId} instead of ${buildId}`);
  }

  #checkSum({ file, source }: Separate, { fd, path }: FoundFile, expected: number): void {
    if (this.#watch.trusted.has(source)) return;
    let sum: number;
    try {
      sum = fileChecksum(this.#binary.roots.files, fd, this.#limits.checksum);
    } catch (cause) {
      // Too big to be summed; an equal build id says as much.
      const { buildId } = this.#own.image;
      if (cause instanceof ParseError && buildId !== '' && file.image.buildId === buildId) return;
      const isLate = cause instanceof ParseError && cause.reason === 'debug_link_time';
      this.#watch.summed(source, isLate ? 'late' : 'wrong');
      throw cause;
    }
    this.#watch.summed(source, sum === expected ? 'right' : 'wrong');
    if (sum !== expected) throw new ParseError('debug_link_crc', `${path} has another checksum`);
  }

  #downloaded(): DebugFile | undefined {
    const { buildId } = this.#own.image;
    const fd = buildId === '' ? undefined : this.#download(buildId);
    if (typeof fd !== 'number') return undefined;
    return this.#problems.guard(() => {
      const file = DebugFile.open(fd, '', this.#context);
      this.#open.push(file);
      this.#checkBuildId(file, true);
      return file;
    });
  }

  #download(buildId: string): number | 'pending' | undefined {
    const answer = this.#downloads?.request(buildId);
    if (answer === 'pending') this.#awaited.add(buildId);
    for (const reason of this.#downloads?.takeProblems(buildId) ?? []) this.#problems.count(reason);
    return answer;
  }

  #debugdata(): ElfImage | undefined {
    if (!hasContents(this.#own.image, '.gnu_debugdata')) return undefined;
    const section = this.#own.sections.section('.gnu_debugdata');
    if (!section) return undefined;
    return ElfImage.parse(new MemorySource(decompressXz(section, this.#limits.debugdataBytes)));
  }
}

/**
 * Whether a search may find anything that the binary's own symbol tables do
 * not say; cheap, and without a look at what the files hold.
 */
export function mayHaveDebugInformation(
  image: ElfImage,
  path: string,
  roots: FileRoots,
  hasServers: boolean,
): boolean {
  if (hasContents(image, '.debug_info') || hasContents(image, '.gnu_debugdata')) return true;
  if (hasServers && image.buildId !== '') return true;
  if (roots.has(buildIdPaths(image.buildId))) return true;
  const section = image.section('.gnu_debuglink');
  if (!section) return false;
  try {
    return roots.has(debugLinkPaths(path, parseDebugLink(image.view(section)).name));
  } catch (cause) {
    if (cause instanceof ParseError) return false;
    throw cause;
  }
}

/** The caller may close its own at any time. */
function reopened(files: FileAccess, fd: number): number {
  try {
    return files.reopen(fd);
  } catch (cause) {
    throw fileFailure(cause);
  }
}
