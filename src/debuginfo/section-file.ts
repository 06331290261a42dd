/** The sections of one debug file as its DWARF parser wants them: uncompressed, by name. */
import { closeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createInflate, createZstdDecompress } from 'node:zlib';
import type { BlockCache } from '../elf/block-cache.ts';
import { type Compression, compressionOf, decompressed } from '../elf/compressed-section.ts';
import type { DebugSections } from '../elf/dwarf/sections.ts';
import { FileSource } from '../elf/file-source.ts';
import { type ElfImage, type Section, SectionType } from '../elf/image.ts';
import { SliceSource } from '../elf/slice-source.ts';
import { type ByteSource, ParseError } from '../elf/source.ts';
import type { Problems } from './problems.ts';
import { SpoolWriter, spoolFile } from './spool.ts';

/** Files kept open for one binary share these. */
export interface SectionContext {
  readonly problems: Problems;
  readonly cache: BlockCache;
  readonly limits: SectionLimits;
  /** Bytes of sections that were decompressed. */
  readonly used: { memory: number; disk: number };
}

export interface SectionLimits {
  /** Larger sections are decompressed to a file rather than to memory, when there is time to. */
  readonly inMemoryBytes: number;
  /** For all decompressed sections of a binary together. */
  readonly memoryBytes: number;
  readonly diskBytes: number;
  /** For temporary files; the first with room for them is taken. */
  readonly folders: readonly string[];
}

export const SECTION_LIMITS: SectionLimits = {
  inMemoryBytes: 2 << 20,
  memoryBytes: 64 << 20,
  diskBytes: 4 * 2 ** 30,
  // A disk, where /tmp may be memory.
  folders: ['/var/tmp', tmpdir()],
};

/** The sections that names and lines come from. */
const WANTED =
  /^\.z?debug_(?:info|types|abbrev|line|line_str|str|str_offsets|addr|ranges|rnglists|aranges)(?:\.dwo)?$/;
const CHUNK = 1 << 18;

export class SectionFile implements DebugSections {
  readonly #image: ElfImage;
  readonly #source: FileSource;
  readonly #context: SectionContext;
  readonly #ready = new Map<Section, ByteSource | undefined>();
  readonly #spooled: FileSource[] = [];

  /** Takes over `source`. */
  constructor(image: ElfImage, source: FileSource, context: SectionContext) {
    this.#image = image;
    this.#source = source;
    this.#context = context;
  }

  /**
   * Decompresses large sections to disk. What was not prepared is decompressed
   * to memory when it is asked for, or refused when it is too big.
   */
  async prepare(): Promise<void> {
    for (const section of this.#image.sections) {
      if (!WANTED.test(section.name) || this.#ready.has(section)) continue;
      const { problems, limits, used } = this.#context;
      try {
        const raw = this.#raw(section);
        const compression = raw && compressionOf(section, raw, limits.diskBytes - used.disk);
        if (!compression || compression.size <= limits.inMemoryBytes) continue;
        this.#ready.set(section, await this.#spool(section, compression));
      } catch (cause) {
        if (!(cause instanceof ParseError)) throw cause;
        problems.count(cause.reason);
        this.#ready.set(section, undefined);
      }
    }
  }

  section(name: string): ByteSource | undefined {
    const section = this.#image.section(name);
    if (section === undefined) return undefined;
    if (!this.#ready.has(section)) {
      this.#ready.set(
        section,
        this.#context.problems.guard(() => this.#decompress(section)),
      );
    }
    return this.#ready.get(section);
  }

  close(): void {
    for (const source of this.#spooled.splice(0)) source.close();
    this.#source.close();
  }

  #raw(section: Section): ByteSource | undefined {
    if (section.type === SectionType.Nobits || section.type === SectionType.Null) return undefined;
    return new SliceSource(this.#source, section.offset, section.size);
  }

  #decompress(section: Section): ByteSource | undefined {
    const raw = this.#raw(section);
    if (raw === undefined) return undefined;
    const { limits, used } = this.#context;
    const source = decompressed(section, raw, limits.memoryBytes - used.memory);
    if (source !== raw) used.memory += source.size;
    return source;
  }

  async #spool(section: Section, compression: Compression): Promise<ByteSource> {
    const { limits, used, cache } = this.#context;
    const { kind, start, size } = compression;
    used.disk += size;
    const fd = spoolFile(limits.folders, size);
    try {
      const decoder =
        kind === 'zlib'
          ? createInflate({ chunkSize: CHUNK })
          : createZstdDecompress({ chunkSize: CHUNK });
      const output = new SpoolWriter(fd, size);
      const from = section.offset + start;
      const input = Readable.from(chunks(this.#source, from, section.offset + section.size));
      try {
        await pipeline(input, decoder, output);
      } catch (cause) {
        if (cause instanceof ParseError) throw cause;
        throw new ParseError('section_compression', `${section.name}: ${cause}`, { cause });
      }
      if (output.written !== size) {
        throw new ParseError('section_compression', `${section.name}: ${output.written} bytes`);
      }
      const source = new FileSource(fd, cache);
      this.#spooled.push(source);
      return source;
    } catch (cause) {
      closeSync(fd);
      throw cause;
    }
  }
}

/** Not by a stream of Node's: its threads wait for a dead file system, and the process for them. */
function* chunks(source: FileSource, from: number, to: number): Generator<Uint8Array> {
  for (let at = from; at < to; at += CHUNK) {
    const chunk = new Uint8Array(Math.min(CHUNK, to - at));
    source.readInto(at, chunk);
    yield chunk;
  }
}
