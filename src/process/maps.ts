/** `/proc/PID/maps`: its executable lines. */
import {
  type FileOffset,
  fileOffset,
  type InodeNumber,
  inodeNumber,
  type ProcessAddress,
  processAddress,
} from '../units/units.ts';

/** A mapping as the kernel reports it, from `maps` or from a side-band event. */
export interface RawMapping {
  readonly start: ProcessAddress;
  readonly end: ProcessAddress;
  readonly offset: FileOffset;
  /** Device as major << 20 | minor; 0 with inode 0 = no file. */
  readonly device: number;
  readonly inode: InodeNumber;
  /** Tells reused inode numbers apart; 32 bits, undefined when the source does not know. */
  readonly generation: number | undefined;
  /** As the process sees it, `[vdso]` and the like, '' or `//anon` for anonymous memory. */
  readonly path: string;
}

/** More than any process may have by default (vm.max_map_count is 65,530), so that none is cut. */
const MAX_MAPPINGS = 262_144;

/** [vsyscall] and whatever else lies in the kernel half, beyond exact numbers. */
const KERNEL_HALF = 2 ** 63;

/**
 * Executable mappings in ascending order. Lines that do not parse are left out
 * and counted; a name may hold any byte but a newline, which the kernel escapes.
 * @param text one character per byte (latin1)
 */
export function parseMaps(text: string): { mappings: RawMapping[]; malformed: number } {
  const mappings: RawMapping[] = [];
  let malformed = 0;
  let at = 0;
  while (at < text.length && mappings.length < MAX_MAPPINGS) {
    let end = text.indexOf('\n', at);
    if (end < 0) end = text.length;
    // "start-end rwxp": the x is found without splitting the many other lines.
    const space = text.indexOf(' ', at);
    if (space > 0 && space + 3 < end && text[space + 3] === 'x') {
      const mapping = parseLine(text.slice(at, end));
      if (mapping === undefined) malformed++;
      else if (mapping.start < KERNEL_HALF) mappings.push(mapping);
    }
    at = end + 1;
  }
  return { mappings, malformed };
}

const linePattern =
  /^([0-9a-f]{1,16})-([0-9a-f]{1,16}) ..x. ([0-9a-f]{1,16}) ([0-9a-f]{1,8}):([0-9a-f]{1,8}) (\d{1,20}) *(.*)$/s;

function parseLine(line: string): RawMapping | undefined {
  const match = linePattern.exec(line);
  if (!match) return undefined;
  const [, start, end, offset, major, minor, inode, path] = match;
  const from = Number.parseInt(start!, 16);
  const to = Number.parseInt(end!, 16);
  if (!(to > from) || (to > Number.MAX_SAFE_INTEGER && from < KERNEL_HALF)) return undefined;
  return {
    start: processAddress(from),
    end: processAddress(to),
    offset: fileOffset(Number.parseInt(offset!, 16)),
    device: Number.parseInt(major!, 16) * 2 ** 20 + Number.parseInt(minor!, 16),
    inode: inodeNumber(BigInt(inode!)),
    generation: undefined,
    path: decodeName(path!),
  };
}

/** A name as paths are given to system calls: UTF-8, with the newlines that the kernel escaped. */
function decodeName(bytes: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: every byte above ASCII is meant.
  const isAscii = /^[\x00-\x7f]*$/.test(bytes);
  const name = isAscii ? bytes : Buffer.from(bytes, 'latin1').toString('utf8');
  return name.includes('\\012') ? name.replaceAll('\\012', '\n') : name;
}
