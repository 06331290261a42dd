/** What Go's linker says about a build: release, module, settings. Format: Go's debug/buildinfo. */
import { GoMemory } from './go-memory.ts';
import type { ElfImage } from './image.ts';
import { type ByteSource, ParseError } from './source.ts';

/** `\xff Go buildinf:` */
const MAGIC = Uint8Array.from([
  0xff, 0x20, 0x47, 0x6f, 0x20, 0x62, 0x75, 0x69, 0x6c, 0x64, 0x69, 0x6e, 0x66, 0x3a,
]);
const ALIGN = 16;
const HEADER = 32;
const MAX_VERSION = 256;
/** The module text of the largest programs (thousands of dependencies) has some 100 KiB. */
const MAX_MODULES = 1 << 20;
/** The module text is framed by 16 bytes on each side. */
const FRAME = 16;

export interface GoBuildInfo {
  /** As `runtime.Version()`: `go1.26.8`, `devel go1.28-abcdef`, perhaps with ` X:experiments`. */
  readonly version: string;
  /** The 26 of `go1.26.8`; undefined for something else. */
  readonly minor: number | undefined;
  /** Lines as `go version -m` prints them, without the leading tab: `path`, `mod`, `dep`, `build`. */
  readonly modules: string;
}

/**
 * undefined when the binary has no build information.
 * @throws ParseError `go_buildinfo` when it has and it is broken.
 */
export function readGoBuildInfo(image: ElfImage): GoBuildInfo | undefined {
  const memory = new GoMemory(image);
  for (const address of places(memory)) {
    const header = memory.bytes(address, HEADER)?.slice();
    if (header === undefined || MAGIC.some((byte, index) => header[index] !== byte)) continue;
    // Bit 1: strings follow (Go 1.18 and later); else two pointers to strings.
    const strings = (header[15]! & 2) !== 0 ? inline(memory, address) : pointed(memory, address);
    const version = strings[0].toString('utf8');
    const framed = strings[1];
    const modules =
      framed.length >= 2 * FRAME + 1 && framed[framed.length - FRAME - 1] === 0x0a
        ? framed.subarray(FRAME, framed.length - FRAME).toString('utf8')
        : '';
    const minor = /\bgo1\.(\d{1,3})(?!\d)/.exec(version)?.[1];
    return { version, minor: minor === undefined ? undefined : Number(minor), modules };
  }
  return undefined;
}

function places(memory: GoMemory): number[] {
  const section = memory.image.section('.go.buildinfo');
  if (section !== undefined && section.address !== 0) return [section.address];
  const found: number[] = [];
  for (const segment of memory.loads) {
    if ((segment.flags & 2) === 0) continue;
    memory.search(segment, MAGIC, ALIGN, (address) => {
      found.push(address);
      return found.length < 16;
    });
  }
  return found;
}

function inline(memory: GoMemory, address: number): [Buffer, Buffer] {
  const source = memory.from(address);
  if (source === undefined) throw broken();
  const version = lengthPrefixed(source, HEADER, MAX_VERSION);
  return [version.bytes, lengthPrefixed(source, version.end, MAX_MODULES).bytes];
}

function lengthPrefixed(
  source: ByteSource,
  start: number,
  limit: number,
): { bytes: Buffer; end: number } {
  let length = 0;
  let at = start;
  for (let scale = 1; ; scale *= 128) {
    const byte = source.read(at++, 1)[0]!;
    length += (byte & 127) * scale;
    if (byte < 128) break;
    if (length > limit || at - start > 4) throw broken();
  }
  if (length > limit) throw broken();
  return { bytes: Buffer.from(source.read(at, length)), end: at + length };
}

function pointed(memory: GoMemory, address: number): [Buffer, Buffer] {
  const text = (slot: number, limit: number): Buffer => {
    const header = memory.pointer(address + slot) ?? 0;
    if (header === 0) return Buffer.alloc(0);
    const start = memory.pointer(header) ?? 0;
    const length = memory.pointer(header + 8) ?? 0;
    if (length > limit) throw broken();
    const bytes = length === 0 ? new Uint8Array() : memory.bytes(start, length);
    if (bytes === undefined) throw broken();
    return Buffer.from(bytes);
  };
  return [text(16, MAX_VERSION), text(24, MAX_MODULES)];
}

const broken = (): ParseError => new ParseError('go_buildinfo', 'broken build information');
